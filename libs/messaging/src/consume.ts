import { both, type EventStore } from '@chrysalis/event-store';
import type pg from 'pg';
import type { CloudEvent, Delivery, EventBus, Health, SubscribeOptions } from './bus.ts';
import { isNoFault, patient } from './faults.ts';
import { Gather } from './gather.ts';
import { Parking } from './parking.ts';
import { backoff, messageOf, Pause } from './pause.ts';

export type ConsumeOptions = {
  readonly bus: EventBus;
  /** Its schema holds the consumer's inbox and what it parks. */
  readonly store: EventStore;
  /** The name in the inbox: one effect per consumer and event, for ever. */
  readonly consumer: string;
  readonly group: string;
  readonly topics: readonly string[];
  /** The effect, all of it through `tx`. It may run again until it commits; what it does beside `tx` must be idempotent. */
  readonly handle: (event: CloudEvent, tx: pg.PoolClient) => Promise<void>;
  /** The same for events of one transaction, in their order, for who can do them in less than one after the other. */
  readonly handleAll?: (events: readonly CloudEvent[], tx: pg.PoolClient) => Promise<void>;
  /**
   * Whether an event is this consumer's business at all; all are unless told. Of the rest nothing is written, nor asked of the database:
   * most events of a topic are nothing to most who read it. Pure, and of the event alone.
   */
  readonly wants?: (event: CloudEvent) => boolean;
  /** Types that the bus need not bring at all. */
  readonly skips?: SubscribeOptions['skips'];
  /**
   * Its effects are rows of this schema and nothing else: no event, and nothing that anybody outside is told or acts on. Over a bus in the
   * same PostgreSQL its commits then do not wait for the disk. What a crash takes it takes from the end of the one log that holds the
   * effect, and behind it the note that the event was handled: so it comes again.
   */
  readonly view?: boolean;
  /** Transactions begin no sooner after each other than this: see gather.ts. */
  readonly paceMs?: number;
  readonly fromBeginning?: boolean;
  readonly maxBatch?: number;
  /** Faults of one event before it is parked, 5 unless told; an outage or contention is none. A thrown `Poison` is parked at once. */
  readonly attempts?: number;
  /** Pause after the first failure, 50 ms unless told; doubles up to 1 s. */
  readonly backoffMs?: number;
  readonly onParked?: (event: CloudEvent, reason: string) => void;
};

export type Consumption = {
  stop(): Promise<void>;
  health(): Health;
  /** Puts parked events back in order, of one key or all; returns how many went through. A failure leaves the rest of its key parked. */
  redrive(key?: string): Promise<{ redriven: number; failed: number }>;
  /** Since the start, for metrics. */
  readonly counts: { handled: number; repeated: number; parked: number };
};

/** Thrown by a handler: no repetition will help. */
export class Poison extends Error {
  override readonly name = 'Poison';
}

/**
 * Effects once. The inbox row and the effect are one transaction, so an event delivered again finds its row and does nothing. Batches of
 * one moment are one transaction while all goes well (one commit for a hundred events); when one fails, each batch is one, and where that
 * fails its events go one by one, so that only the poisonous one is parked, and what follows under its key.
 */
export const consume = async (options: ConsumeOptions): Promise<Consumption> => {
  const consumer = new Consumer(options);
  const subscription = await options.bus.subscribe({
    group: options.group,
    topics: options.topics,
    ...(options.fromBeginning === undefined ? {} : { fromBeginning: options.fromBeginning }),
    ...(options.maxBatch === undefined ? {} : { maxBatch: options.maxBatch }),
    ...(options.skips ? { skips: options.skips } : {}),
    handle: (events, delivery) => consumer.deliver(events, delivery),
  });
  const redriving = consumer.redriveOnRequest();
  return {
    stop: async () => {
      consumer.stop();
      await Promise.all([subscription.stop(), redriving]);
    },
    health: () => subscription.health(),
    redrive: (key) => consumer.redrive(key),
    counts: consumer.counts,
  };
};

/** Thrown so that the transaction is rolled back. */
class Behind extends Error {}

type Delivered = { readonly event: CloudEvent; readonly topic: string };

class Consumer {
  readonly counts = { handled: 0, repeated: 0, parked: 0 };
  readonly #parking: Parking;
  readonly #pause = new Pause();
  readonly #gather: Gather<Delivered>;
  #stopped = false;

  constructor(private readonly o: ConsumeOptions) {
    this.#parking = new Parking(o.store, o.consumer);
    this.#gather = new Gather<Delivered>({
      together: (batches) => this.#together(batches.flat()),
      apart: (batch) => this.#apart(batch),
      ...(o.paceMs === undefined ? {} : { paceMs: o.paceMs }),
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#pause.cut();
  }

  /** Resolves when each event is handled, known, or parked. Throws only where not even parking works: then the bus tries again. */
  async deliver(delivered: readonly CloudEvent[], { topic }: Delivery): Promise<void> {
    const events = this.o.wants ? delivered.filter(this.o.wants) : delivered;
    if (events.length > 0) await this.#gather.submit(events.map((event) => ({ event, topic })));
  }

  async #apart(batch: readonly Delivered[]): Promise<void> {
    if (batch.length > 1 && (await this.#together(batch))) return;
    for (const { event, topic } of batch) await this.#alone(event, topic);
  }

  /** False where something of their keys is parked, one of them failed, or the database did: going one by one tells. */
  async #together(delivered: readonly Delivered[]): Promise<boolean> {
    const events = delivered.map((d) => d.event);
    try {
      const { store, consumer } = this.o;
      const handled = await store.transaction(async (tx) => {
        const [parked, fresh] = await both(
          tx,
          () => this.#parking.keysAmong(events, tx),
          () => store.firstSeenOf(tx, consumer, [...new Set(events.map((event) => event.id))].sort()),
        );
        if (parked.size > 0) throw new Behind();
        const pending = new Set(fresh);
        // `delete` is false for a repetition within the batch.
        await this.#handleAll(
          events.filter((event) => pending.delete(event.id)),
          tx,
        );
        await this.#relax(tx);
        return fresh.size;
      });
      this.#count(handled, events.length - handled);
      return true;
    } catch {
      return false;
    }
  }

  async #handleAll(events: readonly CloudEvent[], tx: pg.PoolClient): Promise<void> {
    if (this.o.handleAll && events.length > 1) return this.o.handleAll(events, tx);
    for (const event of events) await this.o.handle(event, tx);
  }

  async #alone(event: CloudEvent, topic: string): Promise<void> {
    if ((await this.#parking.keysAmong([event])).size > 0 && (await this.#parking.parkBehind(event, topic))) return;
    const { attempts = 5, backoffMs = 50 } = this.o;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(event);
      } catch (error) {
        if (isNoFault(error)) throw error; // the bus brings it again, after a pause, for as long as it takes; health says so
        if (attempt >= attempts || error instanceof Poison) return this.#park(event, topic, error, attempt);
        if (this.#stopped) throw error; // the next member goes on
        await this.#pause.wait(backoff(attempt, backoffMs, 1_000));
      }
    }
  }

  async #once(event: CloudEvent): Promise<void> {
    const { store, consumer, handle } = this.o;
    const first = await store.transaction(async (tx) => {
      const fresh = await store.firstSeen(tx, consumer, event.id);
      if (fresh) await handle(event, tx);
      await this.#relax(tx);
      return fresh;
    }, patient);
    this.#count(first ? 1 : 0, first ? 0 : 1);
  }

  /** See `view`. */
  async #relax(tx: pg.PoolClient): Promise<void> {
    if (!this.o.view || this.o.bus.kind !== 'embedded') return;
    const relaxed = tx.query('set local synchronous_commit = off');
    if (tx.pipeline)
      relaxed.catch(() => undefined); // goes out with the commit, which fails where this does
    else await relaxed;
  }

  async #park(event: CloudEvent, topic: string, error: unknown, attempts: number): Promise<void> {
    const reason = messageOf(error);
    await this.#parking.park(event, topic, reason, attempts);
    this.counts.parked++;
    this.o.onParked?.(event, reason);
  }

  #count(handled: number, repeated: number): void {
    this.counts.handled += handled;
    this.counts.repeated += repeated;
  }

  async redrive(key?: string): Promise<{ redriven: number; failed: number }> {
    const keys = key === undefined ? await this.#parkedKeys() : [key];
    let redriven = 0;
    let failed = 0;
    for (const one of keys) {
      try {
        while (await this.#parking.redriveFirst(one, this.o.handle)) redriven++;
      } catch {
        failed++; // its new reason is in the table
      }
    }
    return { redriven, failed };
  }

  async #parkedKeys(): Promise<readonly string[]> {
    const { store, consumer } = this.o;
    const sql = `select key from ${store.schema}.parked where consumer = $1 group by key order by min(sequence)`;
    return (await store.pool.query<{ key: string }>(sql, [consumer])).rows.map((row) => row.key);
  }

  /** An admin asks through the table, as the consumer may run in another process. */
  async redriveOnRequest(): Promise<void> {
    while (!this.#stopped) {
      await this.#pause.wait(1_000);
      if (this.#stopped) return;
      try {
        for (const key of await this.#parking.keysToRedrive()) await this.redrive(key);
      } catch {
        // the database is away; the next round looks again
      }
    }
  }
}
