import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { origin, type EventStore, type StoredEvent } from '@chrysalis/event-store';
import { withMethods, type TemporaryDatabase } from '@chrysalis/testing';
import {
  AuditImpossible,
  auditRelay,
  consume,
  createBus,
  startRelay,
  toCloudEvent,
  type Audit,
  type EventBus,
  type Message,
  type Relay,
} from '../index.ts';
import { count, effect, effects, newEvent, openStore, until, upTo } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
let bus: EventBus;
let relay: Relay | undefined;

beforeEach(async () => {
  ({ db, store } = await openStore({ max: 24 }));
  bus = createBus({ kind: 'embedded', pool: store.pool, connectionString: db.connectionString });
  await bus.ensureTopics([
    { name: 'events', partitions: 3 },
    { name: 'even', partitions: 1 },
  ]);
});
afterEach(async () => {
  await relay?.stop();
  relay = undefined;
  await bus.close();
  await db.drop();
});

/** To one topic, and those of an even version to a second one. */
const route = (stored: StoredEvent): readonly Message[] => {
  const event = toCloudEvent(stored, { context: 'test' });
  return [{ topic: 'events', event }, ...(stored.version % 2 === 0 ? [{ topic: 'even', event }] : [])];
};
const start = async (mode: 'logical' | 'poll'): Promise<void> => {
  relay = await startRelay({ store, schema: 'shop', bus, mode, route });
};
const audit = async (fill = false, scan: EventBus['scan'] = (topic, handle) => bus.scan(topic, handle)): Promise<Audit> => {
  const client = await store.pool.connect();
  const seen = withMethods(bus, { scan });
  try {
    return await auditRelay({ store, bus: seen, route, fill, client });
  } finally {
    client.release();
  }
};
const append = async (from: number, to: number): Promise<void> => {
  for (const n of upTo(to, from))
    for (const stream of ['a', 'b', 'c']) await store.append({ stream, expected: n - 1, events: [newEvent({ n })] });
};
/** What a relay that leaves events out would have left: gone from the bus, and nothing tells. */
const lose = async (topic: string, where: string): Promise<void> => {
  await store.pool.query(`delete from bus.messages where topic = $1 and ${where}`, [topic]);
};
/** Until then the relay has not begun, or catches up, or its checkpoint is a little behind. */
const judging = (judged: number): Promise<void> =>
  until('all is judged', () =>
    audit().then(
      (found) => found.judged === judged,
      (error: unknown) => {
        if (error instanceof AuditImpossible) return false;
        throw error;
      },
    ),
  );

test.each(['logical', 'poll'] as const)('finds each hole in each topic, and fills them once (%s)', async (mode) => {
  await start(mode);
  await append(1, 10);
  await judging(30);
  expect(await audit()).toEqual({ judged: 30, missing: 0, expired: 0, filled: 0, first: [] });

  await lose('events', `event->>'subject' = 'b' and (event->>'streamversion')::int in (4, 5)`);
  await lose('even', `event->>'subject' = 'a' and (event->>'streamversion')::int = 8`);
  const found = await audit();
  expect(found).toMatchObject({ judged: 30, missing: 3, filled: 0 });
  expect(found.first.map(({ topic, stream, version }) => `${topic} ${stream}@${version}`)).toEqual([
    'events b@4',
    'events b@5',
    'even a@8',
  ]);
  expect(found.first[0]).toMatchObject({ id: expect.any(String), type: 'chrysalis.test.thing.happened.v1', at: expect.any(String) });

  const consumer = 'late';
  const consumption = await consume({ bus, store, consumer, group: consumer, topics: ['events'], handle: effect(consumer) });
  await until('the consumer has the rest', async () => (await count(store, consumer)) === 28);
  expect(await audit(true)).toMatchObject({ missing: 3, filled: 3 });
  await until('and now all', async () => (await count(store, consumer)) === 30);
  expect((await effects(store, consumer))['b']).toEqual([1, 2, 3, 6, 7, 8, 9, 10, 4, 5]);
  expect(await audit(true)).toMatchObject({ judged: 30, missing: 0, filled: 0 });
  await consumption.stop();
});

test('what is on its way, or older than a topic keeps, is no hole', async () => {
  await start('poll');
  await append(1, 3);
  await judging(9);
  await relay!.stop();
  await append(4, 6);
  expect(await audit()).toMatchObject({ judged: 9, missing: 0 });

  await lose('even', 'true');
  const forgetful: EventBus['scan'] = async (topic, handle) => ({ complete: (await bus.scan(topic, handle)).complete && topic !== 'even' });
  expect(await audit(true, forgetful)).toMatchObject({ judged: 9, missing: 0, expired: 3, filled: 0 });
  expect(await audit()).toMatchObject({ judged: 9, missing: 3, expired: 0 });
});

test('says so where it cannot judge: nothing was published yet, or the log is being published again', async () => {
  await expect(audit()).rejects.toThrow('nothing yet');
  await store.saveCheckpoint('relay', origin, { bus: 'another' });
  await expect(audit()).rejects.toThrow('publishing the log again');
  await store.saveCheckpoint('relay', origin, { bus: (await bus.describe()).identity, replay: true });
  await expect(audit()).rejects.toThrow('publishing the log again');
});
