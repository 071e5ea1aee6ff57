import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventStore } from '@chrysalis/event-store';
import { canBeAway, cutConnections, random, type TemporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { createBus, startRelay, toCloudEvent, type CloudEvent, type EventBus, type Relay } from '../index.ts';
import { newEvent, numberOf, openStore, sleep, until, upTo } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
let bus: EventBus;
let relays: Relay[] = [];

beforeEach(async () => {
  ({ db, store } = await openStore({ max: 24 }));
  bus = createBus({ kind: 'embedded', pool: store.pool, connectionString: db.connectionString });
  await bus.ensureTopics([{ name: 'events', partitions: 3 }]);
});
afterEach(async () => {
  await Promise.all(relays.map((relay) => relay.stop()));
  relays = [];
  await bus.close();
  await db.drop();
});

const start = async (mode: 'auto' | 'logical' | 'poll', on: EventBus = bus): Promise<Relay> => {
  const route = (event: Parameters<typeof toCloudEvent>[0]) => [{ topic: 'events', event: toCloudEvent(event, { context: 'test' }) }];
  const relay = await startRelay({ store, schema: 'shop', bus: on, mode, route });
  relays.push(relay);
  return relay;
};

/** First deliveries by stream: what a consumer with an inbox would act on. */
const collect = async (): Promise<Record<string, number[]>> => {
  const seen = new Set<string>();
  const byStream: Record<string, number[]> = {};
  const handle = async (events: readonly CloudEvent[]): Promise<void> => {
    for (const event of events) {
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      (byStream[event.subject] ??= []).push(numberOf(event));
    }
  };
  await bus.subscribe({ group: 'collector', topics: ['events'], handle });
  return byStream;
};
const total = (byStream: Record<string, number[]>): number => Object.values(byStream).reduce((sum, list) => sum + list.length, 0);

const everyTurnUntil = async (what: string, holds: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 120_000; !holds(); await turn())
    if (Date.now() > deadline) throw new Error(`not within 120 s: ${what}`);
};

const append = async (stream: string, from: number, to: number): Promise<void> => {
  for (const n of upTo(to, from)) await store.append({ stream, expected: n - 1, events: [newEvent({ n })] });
};

describe.each(['logical', 'poll'] as const)('the relay, %s', (mode) => {
  test('carries everything that commits and nothing else, in order per stream, from many writers', async () => {
    const got = await collect();
    await append('before', 1, 7); // committed before the relay ever ran
    const relay = await start(mode);
    const writer = async (w: number): Promise<number> => {
      const chance = random(w);
      let version = 0;
      for (let i = 0; i < 15; i++) {
        const commits = chance() < 0.8;
        await store
          .transaction(async (tx) => {
            await store.append({ stream: `s-${w}`, expected: version, events: [newEvent({ n: version + 1 })] }, tx);
            await sleep(chance() * 10);
            if (!commits) throw new Error('rolled back');
          })
          .then(
            () => version++,
            () => undefined,
          );
      }
      return version;
    };
    const versions = await Promise.all(upTo(16).map(writer));
    const committed = versions.reduce((a, b) => a + b, 7);
    await until('all are there', () => total(got) >= committed);
    await until('the relay knows', () => relay.status().pending === 0);
    expect(got['before']).toEqual(upTo(7));
    versions.forEach((version, i) => expect(got[`s-${i + 1}`] ?? []).toEqual(upTo(version)));
    expect(relay.status()).toMatchObject({ role: 'leader', mode, pending: 0 });
    expect(relay.health()).toEqual({ ok: true });
  });

  test('a second one stands by, and takes over within 5 s of the end of the first, with nothing missing', async () => {
    const got = await collect();
    const first = await start(mode);
    await until('the first leads', () => first.status().role === 'leader');
    await append('s', 1, 5);
    await until('carried', () => total(got) === 5);
    const second = await start(mode);
    await sleep(700);
    expect(second.status().role).toBe('standby');
    // The end of the first as its death would look to PostgreSQL; it comes back as the one that stands by.
    const killed = Date.now();
    const leads = `application_name = 'chrysalis-relay-shop' and pid in (select pid from pg_locks where locktype = 'advisory' and granted)`;
    await cutConnections(store.pool, leads);
    await append('s', 6, 20);
    await until('carried on', () => total(got) === 20, 5_000);
    expect(Date.now() - killed).toBeLessThan(5_000);
    expect([first, second].filter((relay) => relay.status().role === 'leader')).toHaveLength(1);
    expect(got['s']).toEqual(upTo(20));
  });

  test('a leader that hangs with the lock in its hand is replaced within 10 s', async () => {
    const hung = new pg.Client({ connectionString: db.connectionString });
    hung.on('error', () => undefined);
    await hung.connect();
    await hung.query(`select pg_advisory_lock(hashtextextended('chrysalis relay shop', 0))`); // and never another word
    const got = await collect();
    await start(mode);
    await append('s', 1, 3);
    await until('carried', () => total(got) === 3);
    await hung.end().catch(() => undefined);
  });

  test('a bus that is away for a while costs time, not events', async () => {
    const got = await collect();
    const flaky = canBeAway(bus, 'the bus is away', 'publish');
    flaky.away = true;
    const relay = await start(mode, flaky.it);
    await append('s', 1, 30);
    await until('health tells', () => !relay.health().ok);
    expect(relay.health().reason).toContain('the bus is away');
    expect(total(got)).toBe(0);
    flaky.away = false;
    await until('all are there', () => total(got) === 30);
    expect(got['s']).toEqual(upTo(30));
    await until('well again', () => relay.health().ok);
  });

  test('health is well again where nothing happens, after a cut and after the bus was away', async () => {
    const asked = canBeAway(bus, 'nobody answers', 'describe');
    const relay = await start(mode, asked.it);
    await until('it leads', () => relay.status().role === 'leader' && relay.health().ok);
    // Looked for from before the cut on, and without a pause: by the time that PostgreSQL has ended the connections, or 20 ms later, the relay
    // may be well again.
    const told = everyTurnUntil('health tells of the cut', () => !relay.health().ok);
    await Promise.all([told, cutConnections(store.pool, `backend_type = 'walsender' or application_name = 'chrysalis-relay-shop'`)]);
    await until('it is well', () => relay.status().role === 'leader' && relay.health().ok);
    if (mode === 'poll') return; // it looks at the bus in silence
    asked.away = true;
    await until('health tells of the bus', () => relay.health().reason?.includes('nobody answers') === true);
    asked.away = false;
    await until('it is well again', () => relay.health().ok);
  });

  test('stopped and started, it goes on where it was', async () => {
    const got = await collect();
    for (const round of upTo(3)) {
      await append('s', round * 10 - 9, round * 10 - 5); // while none runs
      const relay = await start(mode);
      await append('s', round * 10 - 4, round * 10);
      await until(`round ${round}`, () => total(got) === round * 10);
      await relay.stop();
    }
    expect(got['s']).toEqual(upTo(30));
  });
});

describe('from one way to the other', () => {
  test('logical, then poll, then logical, then with its slot lost: nothing is missing', async () => {
    const got = await collect();
    for (const [i, mode] of (['logical', 'poll', 'logical', 'lost'] as const).entries()) {
      if (mode === 'lost')
        await store.pool.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()');
      await append('s', i * 10 + 1, i * 10 + 5);
      const relay = await start(mode === 'lost' ? 'auto' : mode);
      await append('s', i * 10 + 6, i * 10 + 10);
      await until(`${mode}: all`, () => total(got) === (i + 1) * 10);
      expect(relay.status().mode).toBe(mode === 'poll' ? 'poll' : 'logical');
      await relay.stop();
    }
    expect(got['s']).toEqual(upTo(40));
  });

  test('a role that may not replicate: auto polls, logical says why not', async () => {
    await store.pool.query(`do $$ begin create role relay_without login password 'x'; exception when duplicate_object then null; end $$`);
    await store.pool.query(
      'grant usage on schema shop to relay_without; grant select, insert, update on all tables in schema shop to relay_without',
    );
    const url = new URL(db.connectionString);
    [url.username, url.password] = ['relay_without', 'x'];
    const got = await collect();
    const route = (event: Parameters<typeof toCloudEvent>[0]) => [{ topic: 'events', event: toCloudEvent(event, { context: 'test' }) }];
    const connection = { connectionString: url.href };
    const strict = await startRelay({ store, schema: 'shop', bus, mode: 'logical', route, connection });
    await until('it says why', () => strict.health().reason?.includes('may not replicate') === true);
    await strict.stop();
    const relay = await startRelay({ store, schema: 'shop', bus, mode: 'auto', route, connection });
    relays.push(relay);
    await append('s', 1, 5);
    await until('carried', () => total(got) === 5);
    expect(relay.status().mode).toBe('poll');
  });
});
