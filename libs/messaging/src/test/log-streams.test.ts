import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { EventStore, migrate } from '@chrysalis/event-store';
import { canBeAway, cutConnections, temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { createBus, startRelay, toCloudEvent, type EventBus, type Relay } from '../index.ts';
import { newEvent, numberOf, sleep, until, upTo } from './support.ts';

const schemas = ['first', 'second', 'third'] as const;
let db: TemporaryDatabase;
let pool: pg.Pool;
let bus: EventBus;
let got: Record<string, number[]>;
const stores = new Map<string, EventStore>();
const relays = new Map<string, Relay>();

beforeEach(async () => {
  db = await temporaryDatabase();
  pool = new pg.Pool({ connectionString: db.connectionString, max: 16 });
  pool.on('error', () => undefined);
  bus = createBus({ kind: 'embedded', pool, connectionString: db.connectionString });
  await bus.ensureTopics([{ name: 'events', partitions: 3 }]);
  got = {};
  const seen = new Set<string>();
  await bus.subscribe({
    group: 'collector',
    topics: ['events'],
    handle: async (events) => {
      for (const event of events) {
        if (!seen.has(event.id)) (got[event.subject] ??= []).push(numberOf(event));
        seen.add(event.id);
      }
    },
  });
  for (const schema of schemas) {
    await migrate(db.connectionString, schema);
    stores.set(schema, new EventStore(pool, schema));
  }
});
afterEach(async () => {
  await Promise.all([...relays.values()].map((relay) => relay.stop()));
  relays.clear();
  await bus.close();
  await pool.end();
  await db.drop();
});

const start = async (schema: string, on: EventBus = bus): Promise<void> => {
  const route = (event: Parameters<typeof toCloudEvent>[0]) => [{ topic: 'events', event: toCloudEvent(event, { context: 'test' }) }];
  relays.set(schema, await startRelay({ store: stores.get(schema)!, schema, bus: on, mode: 'logical', route }));
};
const append = async (from: number, to: number, which: readonly string[] = schemas): Promise<void> => {
  for (const n of upTo(to, from))
    for (const schema of which) await stores.get(schema)!.append({ stream: `of-${schema}`, expected: n - 1, events: [newEvent({ n })] });
};
const arrived = (to: number, which: readonly string[] = schemas): Promise<void> =>
  until(`${which.join()} are there up to ${to}`, () => which.every((schema) => got[`of-${schema}`]?.at(-1) === to));
const inOrder = (to: number): void => {
  for (const schema of schemas) expect(got[`of-${schema}`]).toEqual(upTo(to));
};
const senders = async (): Promise<string[]> => {
  const sql = `select slot_name from pg_replication_slots where database = current_database() and active order by 1`;
  return (await pool.query<{ slot_name: string }>(sql)).rows.map((row) => row.slot_name);
};
const oneStream = (): Promise<void> => until('there is one stream', async () => (await senders()).length === 1, 10_000);
const ownerOf = (slot: string): string => schemas.find((schema) => slot.startsWith(`chrysalis_${schema}_`))!;

test('relays of a process come to share one stream, whichever began first, and lose nothing on the way there or when one leaves', async () => {
  await start('first');
  await append(1, 5);
  await start('second');
  await start('third');
  let last = 5;
  const more = async (): Promise<void> => append(last + 1, (last += 5));
  for (const end = Date.now() + 10_000; Date.now() < end && ((await senders()).length !== 1 || last < 20);) await more();
  await oneStream();
  await more();
  await arrived(last);
  inOrder(last);
  const owner = ownerOf((await senders())[0]!);
  await relays.get(owner)!.stop();
  await more();
  const others = schemas.filter((schema) => schema !== owner);
  await arrived(last, others);
  await start(owner);
  await arrived(last);
  await oneStream();
  await more();
  await arrived(last);
  inOrder(last);
});

test('a slot that nobody streams from is told by its relay at the end how far its schema came', async () => {
  for (const schema of schemas) await start(schema);
  await append(1, 3);
  await arrived(3);
  await oneStream();
  await append(4, 20);
  await arrived(20);
  const { rows } = await pool.query<{ lsn: string }>('select pg_current_wal_lsn() as lsn');
  await pool.query(`select pg_logical_emit_message(true, 'test', '')`); // something for the server to tell of
  await sleep(500);
  for (const relay of relays.values()) await relay.stop();
  const slots = 'from pg_replication_slots where database = current_database()';
  const told = await pool.query(`select ${slots} and confirmed_flush_lsn >= $1`, [rows[0]!.lsn]);
  expect(told.rowCount).toBe(schemas.length);
});

test('the connection of the stream that is cut, and a lead that is lost, cost time and no event', async () => {
  for (const schema of schemas) await start(schema);
  await append(1, 3);
  await arrived(3);
  await oneStream();
  await cutConnections(pool, `backend_type = 'walsender'`);
  await append(4, 8);
  await arrived(8);
  await oneStream();
  await cutConnections(pool, `application_name = 'chrysalis-relay-second'`);
  await append(9, 12);
  await arrived(12);
  inOrder(12);
});

test('one that cannot publish holds up no other', async () => {
  const flaky = canBeAway(bus, 'the bus is away', 'publish');
  await start('first', flaky.it);
  await start('second');
  await start('third');
  await append(1, 3);
  await arrived(3);
  await oneStream();
  flaky.away = true;
  const many = (n: number) => Array.from({ length: n }, (_, i) => newEvent({ n: 4 + i }));
  await stores.get('first')!.append({ stream: 'of-first', expected: 3, events: many(6_000) });
  await append(4, 8, ['second', 'third']);
  await arrived(8, ['second', 'third']);
  flaky.away = false;
  await arrived(6_003, ['first']);
  expect(got['of-first']).toEqual(upTo(6_003));
});
