import type pg from 'pg';
import type { CloudEvent, SubscribeOptions } from '../bus.ts';
import { backoff, messageOf, Pause } from '../pause.ts';
import * as sql from './sql.ts';

/** Offsets are kept in the background, at most this often: what comes again after a crash, consumers know. */
const commitMs = 100;

/** Events offered and not yet read; above this they are fetched, as by any reader in another process. */
const mostOffered = 1_000;

/** Committed at these offsets of this bus, as JSON: each reader makes its own events of it. */
export type Offer = { readonly bus: string; readonly first: bigint; readonly texts: readonly string[] };

type Batch = { readonly next: bigint; readonly events: CloudEvent[] };

/** Reads one partition for one group, from where the group stands, until it is stopped. One batch at a time: order per key. */
export class PartitionReader {
  readonly #pause = new Pause();
  #stopped = false;
  #fault: string | undefined;
  #offered: { readonly at: bigint; readonly text: string }[] = [];
  /** Which bus our offsets are of; another one, made anew in its place, is joined anew. */
  #bus: string | undefined;
  #handled: bigint | undefined;
  #committing: Promise<void> | undefined;
  readonly #done: Promise<void>;

  constructor(
    private readonly pool: pg.Pool,
    private readonly options: SubscribeOptions,
    readonly topic: string,
    readonly partition: number,
  ) {
    this.#done = this.#run();
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  wake(): void {
    this.#pause.cut();
  }

  offer({ bus, first, texts }: Offer): void {
    if (bus === this.#bus && this.#offered.length + texts.length <= mostOffered)
      texts.forEach((text, i) => this.#offered.push({ at: first + BigInt(i), text }));
    this.#pause.cut();
  }

  /** What was offered from `next` on without a gap. Two publishers may offer in another order than they committed in: then we fetch. */
  #takeOffered(next: bigint, most: number): Batch | undefined {
    while (this.#offered.length > 0 && this.#offered[0]!.at < next) this.#offered.shift();
    const events: CloudEvent[] = [];
    for (let at = next; events.length < most && this.#offered[0]?.at === at; at++)
      events.push(JSON.parse(this.#offered.shift()!.text) as CloudEvent);
    if (events.length === 0) this.#offered = [];
    return events.length === 0 ? undefined : { next: next + BigInt(events.length), events };
  }

  /** Resolves when the batch in hand is done; after that the partition may go to another. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.cut();
    await this.#done;
    await this.#committing;
    await this.#commit().catch(() => undefined); // comes again, then
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stopped;) {
      try {
        await this.#read(() => (failures = 0));
      } catch (error) {
        this.#fault = `${this.topic}/${this.partition}: ${messageOf(error)}`;
        await this.#pause.wait(backoff(++failures, 50, 2_000));
      }
    }
  }

  async #commitLater(): Promise<void> {
    if (!this.#stopped) await new Promise((resolve) => setTimeout(resolve, commitMs));
    await this.#commit().catch(() => undefined); // the next one tells, or the next member has it again
  }

  async #commit(): Promise<void> {
    const next = this.#handled;
    if (next === undefined) return;
    await this.pool.query(sql.commit, [this.options.group, this.topic, this.partition, next, this.#bus]);
    if (this.#handled === next) this.#handled = undefined;
  }

  /** Until it is stopped, or the bus is another. */
  async #read(progress: () => void): Promise<void> {
    const { group, handle, fromBeginning = true, maxBatch = 100 } = this.options;
    const place = [this.topic, this.partition] as const;
    const joined = await this.pool.query<{ next_offset: string; bus: string }>(sql.join, [group, ...place, fromBeginning]);
    if (!joined.rows[0]) throw new Error('the topic is gone');
    if (this.#bus !== joined.rows[0].bus) this.#handled = undefined; // a place in a bus that is gone
    [this.#offered, this.#bus] = [[], joined.rows[0].bus];
    for (let next = BigInt(joined.rows[0].next_offset); !this.#stopped;) {
      const batch = this.#takeOffered(next, maxBatch) ?? (await this.#fetch(next, maxBatch));
      if (!batch) return;
      if (batch.events.length > 0) {
        await handle(batch.events, { topic: this.topic, partition: this.partition });
        next = batch.next;
        this.#handled = next;
        this.#committing ??= this.#commitLater().finally(() => (this.#committing = undefined));
      }
      this.#fault = undefined;
      progress();
      // Woken by publishers, and each second by the membership's look.
      if (batch.events.length < maxBatch && this.#offered.length === 0) await this.#pause.wait(30_000);
    }
  }

  /** Nothing where the bus was made anew. */
  async #fetch(next: bigint, most: number): Promise<Batch | undefined> {
    type Row = { message_offset: string | null; event: CloudEvent };
    const { rows } = await this.pool.query<Row>(sql.fetch, [this.topic, this.partition, next, most, this.#bus]);
    const last = rows.at(-1);
    if (!last) return undefined;
    if (last.message_offset === null) return { next, events: [] };
    return { next: BigInt(last.message_offset) + 1n, events: rows.map((row) => row.event) };
  }
}
