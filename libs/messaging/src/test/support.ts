import { EventStore, migrate, type NewEvent } from '@chrysalis/event-store';
import { temporaryDatabase } from '@chrysalis/testing';
import type pg from 'pg';
import type { CloudEvent } from '../index.ts';

export const openStore = async (pool: pg.PoolConfig = {}) => {
  const db = await temporaryDatabase({ template: { name: 'messaging', prepare } });
  return { db, store: new EventStore(db.pool({ max: 12, ...pool }), 'shop') };
};

/** `effects` is what consumers of the suites do: append-only, so that order and repetition show. */
const prepare = async (pool: pg.Pool, connectionString: string): Promise<void> => {
  await migrate(connectionString, 'shop');
  await pool.query(`create table shop.effects (
    place bigint generated always as identity primary key, consumer text not null, key text not null, n int not null
  )`);
};

export const newEvent = (data: unknown): NewEvent => ({
  id: crypto.randomUUID(),
  type: 'chrysalis.test.thing.happened.v1',
  data,
  meta: { at: new Date().toISOString(), correlationId: 'c', actor: 'a', tenant: 't' },
});

export const cloudEvent = (key: string, n: number): CloudEvent => ({
  specversion: '1.0',
  id: crypto.randomUUID(),
  source: '/chrysalis/test',
  type: 'chrysalis.test.thing.happened.v1',
  subject: key,
  time: new Date().toISOString(),
  partitionkey: key,
  datacontenttype: 'application/json',
  correlationid: 'c',
  actor: 'a',
  tenant: 't',
  data: { n },
});

export const numberOf = (event: CloudEvent): number => (event.data as { n: number }).n;

export const effect =
  (consumer: string) =>
  async (event: CloudEvent, tx: pg.PoolClient): Promise<void> => {
    await tx.query('insert into shop.effects (consumer, key, n) values ($1, $2, $3)', [consumer, event.partitionkey, numberOf(event)]);
  };

/** Per key, the numbers in the order in which their effects were done. */
export const effects = async (store: EventStore, consumer: string): Promise<Record<string, number[]>> => {
  const { rows } = await store.pool.query<{ key: string; n: number }>(
    'select key, n from shop.effects where consumer = $1 order by place',
    [consumer],
  );
  const byKey: Record<string, number[]> = {};
  for (const { key, n } of rows) (byKey[key] ??= []).push(n);
  return byKey;
};

export const count = async (store: EventStore, consumer: string): Promise<number> =>
  (await store.pool.query<{ n: number }>('select count(*)::int as n from shop.effects where consumer = $1', [consumer])).rows[0]!.n;

export const upTo = (n: number, from = 1): number[] => Array.from({ length: n - from + 1 }, (_, i) => from + i);

export const until = async (what: string, holds: () => Promise<boolean> | boolean, withinMs = 120_000): Promise<void> => {
  for (const deadline = Date.now() + withinMs; Date.now() < deadline;) {
    if (await holds()) return;
    await sleep(20);
  }
  throw new Error(`not within ${withinMs} ms: ${what}`);
};

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
