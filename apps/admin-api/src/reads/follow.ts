import type { Caller } from '@chrysalis/service-kit';
import { readFeed, type FeedEntry } from './feed.ts';
import type { ReadModels } from './read-models.ts';

const PAGE = 1_000;

/** Reads on in streams of the feed. Which they are may change: when one joins, what was passed over of it is read as well. */
export class FollowedStreams {
  #streams = '';
  #after: string;
  readonly #sent = new Set<string>();

  constructor(
    private readonly reads: ReadModels,
    private readonly from: string,
    private readonly caller: Caller,
  ) {
    this.#after = from;
  }

  /** What is new in these streams, sorted by name, in the feed's order; nothing twice. */
  async next(streams: readonly string[]): Promise<FeedEntry[]> {
    if (streams.join() !== this.#streams) [this.#streams, this.#after] = [streams.join(), this.from];
    const entries: FeedEntry[] = [];
    for (let page: FeedEntry[] = [], full = true; full; full = page.length === PAGE) {
      page = await readFeed(this.reads, { after: this.#after, limit: PAGE, streams, caller: this.caller });
      this.#after = page.at(-1)?.position ?? this.#after;
      entries.push(...page);
    }
    const fresh = entries.filter((e) => !this.#sent.has(e.position));
    for (const e of fresh) this.#sent.add(e.position);
    return fresh;
  }
}
