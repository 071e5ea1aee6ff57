import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { EventStore } from '@chrysalis/event-store';
import { random, type TemporaryDatabase } from '@chrysalis/testing';
import { startRelay, toCloudEvent, type EventBus, type Message, type Relay } from '../index.ts';
import { newEvent, openStore, sleep, until, upTo } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
let relay: Relay | undefined;
let published: string[];
let refused: (streams: readonly string[]) => boolean;

beforeEach(async () => {
  ({ db, store } = await openStore({ max: 24 }));
  [published, refused] = [[], () => false];
});
afterEach(async () => {
  await relay?.stop();
  await db.drop();
});

/** Takes all of a publication or nothing, and is never made anew. */
const recorder = {
  describe: () => Promise.resolve({ kind: 'recorder', identity: 'same' }),
  flush: () => Promise.resolve(),
  publish: async (messages: readonly Message[]) => {
    if (refused(messages.map((m) => m.event.subject))) throw new Error('the bus is away');
    await sleep(1);
    published.push(...messages.map((m) => m.event.id));
  },
} as Partial<EventBus> as EventBus;

const start = async (mode: 'logical' | 'poll', batch?: number): Promise<Relay> =>
  (relay = await startRelay({
    store,
    schema: 'shop',
    bus: recorder,
    mode,
    route: (event) => [{ topic: 't', event: toCloudEvent(event, { context: 'test' }) }],
    ...(batch === undefined ? {} : { batch }),
  }));

const append = async (stream: string, expected = 0): Promise<string> => {
  const event = newEvent({ n: expected + 1 });
  await store.append({ stream, expected, events: [event] });
  return event.id;
};
const log = async (): Promise<readonly string[]> =>
  (await store.pool.query<{ id: string }>('select id from shop.events')).rows.map((row) => row.id);
const missing = async (): Promise<readonly string[]> => (await log()).filter((id) => !published.includes(id));

describe('a relay that is started again', () => {
  test('begins with the commit that follows the one it acknowledged, wherever that begins', async () => {
    await start('logical', 1);
    const warm = await append('warm');
    await until('it follows the log', () => published.includes(warm));
    for (const round of upTo(5)) {
      // Both are written before either commits, so the two commit records lie beside each other.
      const [first, second] = [await store.pool.connect(), await store.pool.connect()];
      const events = [newEvent({ n: 1 }), newEvent({ n: 1 })] as const;
      refused = (streams) => streams.includes(`second-${round}`);
      try {
        for (const tx of [first, second]) await tx.query('begin');
        await store.append({ stream: `first-${round}`, expected: 0, events: [events[0]] }, first);
        await store.append({ stream: `second-${round}`, expected: 0, events: [events[1]] }, second);
        for (const tx of [first, second]) await tx.query('commit');
      } finally {
        first.release();
        second.release();
      }
      await until('the first is taken, the second refused', () => published.includes(events[0].id) && !relay!.health().ok);
      await relay!.stop(); // says how far it came
      refused = () => false;
      await start('logical', 1);
      await until('the second comes', () => published.includes(events[1].id), 5_000);
    }
    expect(await missing()).toEqual([]);
  });

  test('has not forgotten what it owed when it was stopped before it had caught up', async () => {
    const before = await Promise.all(upTo(20).map((n) => append(`before-${n}`)));
    refused = (streams) => streams.includes('before-20');
    await start('logical', 1);
    await until('it is stuck in the middle', () => published.length > 0 && !relay!.health().ok);
    await relay!.stop();
    refused = () => false;
    await start('logical', 1);
    await until('it follows the log', async () => published.includes(await append(crypto.randomUUID())));
    expect(published).toEqual(expect.arrayContaining(before));
  });

  test.each(['logical', 'poll'] as const)('again and again while 16 write: what committed is published, %s', async (mode) => {
    await start(mode);
    let writing = true;
    const writers = upTo(16).map(async (w) => {
      const chance = random(w);
      for (let version = 0; writing; version++) {
        await store.transaction(async (tx) => {
          await store.append({ stream: `s-${w}`, expected: version, events: [newEvent({ n: version + 1 })] }, tx);
          await sleep(chance() * 5);
        });
      }
    });
    for (const round of upTo(8)) {
      const before = published.length;
      await until(`round ${round}: it publishes`, () => published.length > before + 50);
      await relay!.stop();
      await start(mode);
    }
    writing = false;
    await Promise.all(writers);
    const last = await append('last');
    await until('the last', () => published.includes(last));
    expect(await missing()).toEqual([]);
    expect((await log()).length).toBeGreaterThan(500);
  });
});
