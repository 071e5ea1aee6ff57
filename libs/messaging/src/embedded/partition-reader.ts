import type pg from 'pg';
import type { CloudEvent, SubscribeOptions } from '../bus.ts';
import { backoff, messageOf, Pause } from '../pause.ts';
import type { Offsets, Place } from './offsets.ts';
import * as sql from './sql.ts';

/** Events offered and not yet read; above this they are fetched, as by any reader in another process. */
const mostOffered = 1_000;

/** An event as JSON; it is made into an object once, for all readers of the process, and only if one of them reads its type. None changes it. */
export class Offered {
  #event: CloudEvent | undefined;

  constructor(
    readonly type: string,
    private readonly text: string,
  ) {}

  get event(): CloudEvent {
    return (this.#event ??= JSON.parse(this.text) as CloudEvent);
  }
}
/** Committed at these offsets of this bus. */
export type Offer = { readonly bus: string; readonly first: bigint; readonly events: readonly Offered[] };

type Batch = { readonly next: bigint; readonly events: CloudEvent[] };

/** Reads one partition for one group, from where the group stands, until it is stopped. One batch at a time: order per key. */
export class PartitionReader {
  readonly #pause = new Pause();
  #stopped = false;
  #fault: string | undefined;
  #offered: { readonly at: bigint; readonly offered: Offered }[] = [];
  /** There may be something that was not offered. */
  #look = true;
  /** Which bus our offsets are of; another one, made anew in its place, is joined anew. */
  #bus: string | undefined;
  #handled: bigint | undefined;
  /** After what was read last, handled or still in hand. */
  #next = 0n;
  readonly #done: Promise<void>;

  constructor(
    private readonly pool: pg.Pool,
    private readonly options: SubscribeOptions,
    readonly topic: string,
    readonly partition: number,
    private readonly offsets: Pick<Offsets, 'moved' | 'forget'>,
  ) {
    this.#done = this.#run();
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  wake(): void {
    this.#look = true;
    this.#pause.cut();
  }

  /** Whether it has read all before this place, of this bus: there is nothing to wake it for. */
  isAt(next: string, bus: string): boolean {
    return bus === this.#bus && this.#next >= BigInt(next);
  }

  /** Where it is, as long as that is not kept. */
  place(): Place | undefined {
    if (this.#handled === undefined) return undefined;
    const kept = (next: bigint): void => void (this.#handled === next && (this.#handled = undefined));
    return { group: this.options.group, topic: this.topic, partition: this.partition, bus: this.#bus, next: this.#handled, kept };
  }

  offer({ bus, first, events }: Offer): void {
    if (bus === this.#bus && this.#offered.length + events.length <= mostOffered)
      events.forEach((offered, i) => this.#offered.push({ offered, at: first + BigInt(i) }));
    else this.#look = true;
    this.#pause.cut();
  }

  /** What was offered from `next` on without a gap. Two publishers may offer in another order than they committed in: then we fetch. */
  #takeOffered(next: bigint, most: number): Batch | undefined {
    while (this.#offered.length > 0 && this.#offered[0]!.at < next) this.#offered.shift();
    const { skips } = this.options;
    const events: CloudEvent[] = [];
    let at = next;
    for (; events.length < most && this.#offered[0]?.at === at; at++) {
      const { offered } = this.#offered.shift()!;
      if (!skips?.(offered.type)) events.push(offered.event);
    }
    if (at === next && this.#offered.length > 0) [this.#offered, this.#look] = [[], true];
    return at === next ? undefined : { next: at, events };
  }

  /** Resolves when the batch in hand is done; after that the partition may go to another. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#pause.cut();
    await this.#done;
    this.offsets.forget(this);
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

  async #commit(): Promise<void> {
    const next = this.#handled;
    if (next === undefined) return;
    await this.pool.query(sql.commit, [this.options.group, this.topic, this.partition, next, this.#bus]);
    if (this.#handled === next) this.#handled = undefined;
  }

  /** Answers where the group stands. */
  async #join(): Promise<bigint> {
    const { group, fromBeginning = true } = this.options;
    const values = [group, this.topic, this.partition, fromBeginning];
    const joined = await this.pool.query<{ next_offset: string; bus: string }>(sql.join, values);
    if (!joined.rows[0]) throw new Error('the topic is gone');
    if (this.#bus !== joined.rows[0].bus) this.#handled = undefined; // a place in a bus that is gone
    [this.#offered, this.#bus, this.#look] = [[], joined.rows[0].bus, true];
    return (this.#next = BigInt(joined.rows[0].next_offset));
  }

  /** Until it is stopped, or the bus is another. */
  async #read(progress: () => void): Promise<void> {
    const { handle, maxBatch = 100 } = this.options;
    for (let next = await this.#join(); !this.#stopped;) {
      const batch = this.#takeOffered(next, maxBatch) ?? (await this.#fetch(next, maxBatch));
      if (!batch) return;
      const full = batch.events.length === maxBatch;
      if (full) this.#look = true; // there may be more, however it came
      this.#next = batch.next;
      if (batch.events.length > 0) await handle(batch.events, { topic: this.topic, partition: this.partition });
      if (batch.next > next) {
        next = batch.next;
        this.#handled = next;
        this.offsets.moved(this);
      }
      this.#fault = undefined;
      progress();
      // Woken by publishers, and each second by the membership's look.
      if (!full && this.#offered.length === 0) await this.#pause.wait(30_000);
    }
  }

  /** Nothing where the bus was made anew. */
  async #fetch(next: bigint, most: number): Promise<Batch | undefined> {
    if (!this.#look) return { next, events: [] }; // woken by what is read by now
    this.#look = false;
    type Row = { message_offset: string | null; event: CloudEvent };
    const { rows } = await this.pool.query<Row>(sql.fetch, [this.topic, this.partition, next, most, this.#bus]);
    const last = rows.at(-1);
    if (!last) return undefined;
    if (last.message_offset === null) return { next, events: [] };
    return { next: BigInt(last.message_offset) + 1n, events: rows.map((row) => row.event) };
  }
}
