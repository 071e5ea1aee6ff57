import type { EventStore, Queryable } from '@chrysalis/event-store';
import type pg from 'pg';
import type { CloudEvent } from './bus.ts';
import { isNoFault, patient } from './faults.ts';
import * as sql from './sql/parked.ts';

export type Parked = {
  readonly sequence: string;
  readonly consumer: string;
  readonly key: string;
  readonly eventId: string;
  readonly topic: string;
  readonly event: CloudEvent;
  readonly reason: string;
  readonly attempts: number;
  readonly redrive: boolean;
  readonly at: Date;
};

/** What is parked in a service's schema, in order. */
export const listParked = async (
  store: EventStore,
  { consumer, limit = 100 }: { consumer?: string; limit?: number } = {},
  db: Queryable = store.pool,
): Promise<Parked[]> => {
  type Row = Omit<Parked, 'eventId'> & { event_id: string };
  const { rows } = await db.query<Row>(sql.listParked(store.schema), [consumer ?? null, limit]);
  return rows.map(({ event_id, ...row }) => ({ ...row, eventId: event_id }));
};

/** Asks the consumer, wherever it runs, to put parked events back in their order: within a second or so. Returns how many it concerns. */
export const requestRedrive = async (
  store: EventStore,
  { consumer, key }: { consumer: string; key?: string },
  db: Queryable = store.pool,
): Promise<number> => (await db.query(sql.requestRedrive(store.schema), [consumer, key ?? null])).rowCount ?? 0;

/** Gives up on one parked event: those behind it become free to redrive. */
export const discardParked = async (
  store: EventStore,
  { consumer, eventId }: { consumer: string; eventId: string },
  db: Queryable = store.pool,
): Promise<boolean> => (await db.query(sql.unpark(store.schema), [consumer, eventId])).rowCount === 1;

/** The parking of one consumer. */
export class Parking {
  readonly #sql;

  constructor(
    private readonly store: EventStore,
    private readonly consumer: string,
  ) {
    const { schema } = store;
    this.#sql = {
      keys: sql.parkedKeys(schema),
      park: sql.park(schema),
      first: sql.firstParked(schema),
      unpark: sql.unpark(schema),
      failedAgain: sql.failedAgain(schema),
      endRedrive: sql.endRedrive(schema),
      toRedrive: sql.keysToRedrive(schema),
    };
  }

  async keysAmong(events: readonly CloudEvent[], db: Queryable = this.store.pool): Promise<ReadonlySet<string>> {
    const keys = [...new Set(events.map((event) => event.partitionkey))];
    const { rows } = await db.query<{ key: string }>(this.#sql.keys, [this.consumer, keys]);
    return new Set(rows.map((row) => row.key));
  }

  async park(event: CloudEvent, topic: string, reason: string, attempts: number): Promise<void> {
    const values = [this.consumer, event.partitionkey, event.id, topic, JSON.stringify(event), reason, attempts];
    await this.store.pool.query(this.#sql.park, values);
  }

  /** Parks behind an event of the same key; false when that was redriven meanwhile and this one may be handled. */
  async parkBehind(event: CloudEvent, topic: string): Promise<boolean> {
    return this.store.transaction(async (tx) => {
      const ahead = await this.#firstLocked(tx, event.partitionkey);
      if (!ahead) return false;
      if (ahead.event_id === event.id) return true;
      const seen = await tx.query(`select from ${this.store.schema}.inbox where consumer = $1 and event_id = $2`, [
        this.consumer,
        event.id,
      ]);
      if (seen.rowCount) return true; // a repetition of one dealt with before
      const reason = `behind ${ahead.event_id}`;
      await tx.query(this.#sql.park, [this.consumer, event.partitionkey, event.id, topic, JSON.stringify(event), reason, 0]);
      return true;
    });
  }

  async keysToRedrive(): Promise<readonly string[]> {
    return (await this.store.pool.query<{ key: string }>(this.#sql.toRedrive, [this.consumer])).rows.map((row) => row.key);
  }

  /**
   * Handles the first parked event of a key and takes it out, in one transaction; false when there is none. What fails stays, with its new
   * reason, and is not tried again by itself; after an outage or contention it is.
   */
  async redriveFirst(key: string, effect: (event: CloudEvent, tx: pg.PoolClient) => Promise<void>): Promise<boolean> {
    let current: string | undefined;
    try {
      return await this.store.transaction(async (tx) => {
        const first = await this.#firstLocked(tx, key);
        if (!first) return false;
        current = first.event_id;
        if (await this.store.firstSeen(tx, this.consumer, first.event_id)) await effect(this.store.upcast(first.event), tx);
        await tx.query(this.#sql.unpark, [this.consumer, first.event_id]);
        return true;
      }, patient);
    } catch (error) {
      if (current !== undefined && !isNoFault(error)) await this.#failed(key, current, error);
      throw error;
    }
  }

  async #failed(key: string, eventId: string, error: unknown): Promise<void> {
    await this.store.pool.query(this.#sql.failedAgain, [this.consumer, eventId, String(error)]);
    await this.store.pool.query(this.#sql.endRedrive, [this.consumer, key]);
  }

  async #firstLocked(tx: pg.PoolClient, key: string): Promise<{ event_id: string; event: CloudEvent } | undefined> {
    await tx.query(sql.lockKey, [this.consumer, key]);
    return (await tx.query<{ event_id: string; event: CloudEvent }>(this.#sql.first, [this.consumer, key])).rows[0];
  }
}
