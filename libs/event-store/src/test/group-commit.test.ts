// Appends that share a commit: each has its own verdict, and none waits for the stream of another.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { cutConnections, type TemporaryDatabase } from '@chrysalis/testing';
import { EventStore, origin, type Append, type Appended, type Expected, type StoredEvent } from '../index.ts';
import { event, openStore, random, sleep } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
beforeAll(async () => ({ db, store } = await openStore({ max: 8 })));
afterAll(() => db.drop());

let run = 0;
beforeEach(() => void run++);
const name = (stream: string): string => `${run}-${stream}`;
const one = (stream: string, expected: Expected, events = [event()]): Append => ({ stream: name(stream), expected, events });
const ids = async (stream: string): Promise<string[]> => (await store.read(name(stream))).map((e) => e.id);
const oks = (results: readonly Appended[]): boolean[] => results.map((r) => r.ok);

/** The transactions that wrote the streams. */
const commits = async (streams: readonly string[]): Promise<number> => {
  const { rows } = await store.pool.query('select distinct xmin::text from shop.events where stream_id = any ($1)', [streams.map(name)]);
  return rows.length;
};

/** An open transaction that has added to a stream, and how to end it. */
const hold = async (stream: string, expected: Expected): Promise<() => Promise<void>> => {
  const tx = await store.pool.connect();
  await tx.query('begin');
  await store.append(one(stream, expected), tx);
  return async () => {
    await tx.query('commit');
    tx.release();
  };
};

describe('appends of the same moment', () => {
  test('share a commit', async () => {
    const streams = Array.from({ length: 20 }, (_, i) => `s${i}`);
    const results = await Promise.all(streams.map((s) => store.append(one(s, 'noStream', [event(), event()]))));
    expect(results).toEqual(streams.map((s) => ({ ok: true, versions: { [name(s)]: 2 } })));
    expect(await commits(streams)).toBe(1);
  });

  test('of two that contradict each other exactly one is done, the first', async () => {
    const [a, b] = [event(), event()];
    const results = await Promise.all([store.append(one('s', 0, [a])), store.append(one('s', 0, [b])), store.append(one('other', 0))]);
    expect(results[1]).toEqual({ ok: false, conflict: { stream: name('s'), expected: 0, actual: 1 } });
    expect(oks(results)).toEqual([true, false, true]);
    expect(await ids('s')).toEqual([a.id]);
  });

  test('a conflict leaves the others done', async () => {
    const results = await Promise.all(['a', 'b', 'c'].map((s, i) => store.append(one(s, i === 1 ? 7 : 'any'))));
    expect(oks(results)).toEqual([true, false, true]);
    expect(results[1]).toEqual({ ok: false, conflict: { stream: name('b'), expected: 7, actual: 0 } });
    expect(await ids('b')).toEqual([]);
    expect(await commits(['a', 'c'])).toBe(1);
  });

  test('lists are done all or nothing, each by itself', async () => {
    await store.append(one('b2', 'noStream'));
    const lists = [
      [one('a1', 'noStream'), one('a2', 'any', [event(), event()])],
      [one('b1', 'noStream'), one('b2', 'noStream')],
      [one('c1', 0), one('c2', 'any', [])],
    ];
    const results = await Promise.all(lists.map((list) => store.append(list)));
    expect(results).toEqual([
      { ok: true, versions: { [name('a1')]: 1, [name('a2')]: 2 } },
      { ok: false, conflict: { stream: name('b2'), expected: 'noStream', actual: 1 } },
      { ok: true, versions: { [name('c1')]: 1, [name('c2')]: 0 } },
    ]);
    expect(await ids('b1')).toEqual([]);
    expect(await commits(['a1', 'a2', 'c1'])).toBe(1);
  });

  test('to one stream are done in the order in which they were asked for', async () => {
    const events = Array.from({ length: 30 }, () => event());
    const results = await Promise.all([
      ...events.map((e, i) => store.append(i % 3 ? one('s', 'any', [e]) : [one('s', 'any', [e]), one(`beside${i}`, 'any')])),
      ...Array.from({ length: 100 }, (_, i) => store.append(one(`elsewhere${i}`, 'noStream'))),
    ]);
    expect(oks(results)).not.toContain(false);
    expect(await ids('s')).toEqual(events.map((e) => e.id));
  });

  test('an event that the database refuses fails its own append', async () => {
    const circular: { self?: unknown } = {};
    circular.self = circular;
    for (const bad of [event({}, { id: 'no uuid' }), event({ text: '\0' }), event(circular)]) {
      const at = crypto.randomUUID();
      const results = await Promise.allSettled([`a${at}`, `b${at}`].map((s, i) => store.append(one(s, 0, i ? [bad] : [event()]))));
      expect(results.map((r) => r.status)).toEqual(['fulfilled', 'rejected']);
      expect(await ids(`a${at}`)).toHaveLength(1);
    }
  });
});

describe('a stream that an open transaction holds', () => {
  test.each([
    ['with others', 20],
    ['alone', 0],
  ])('delays only itself: %s in its group', async (_, others) => {
    const commit = await hold('held', 'noStream');
    let heldDone = false;
    const held = [0 as const, 'any' as const, 'any' as const].map((expected) =>
      store.append(one('held', expected)).finally(() => (heldDone = true)),
    );
    const results = await Promise.all(Array.from({ length: others }, (_, i) => store.append(one(`free${i}`, 'noStream'))));
    await sleep(10);
    const later = await Promise.all(Array.from({ length: 20 }, (_, i) => store.append(one(`later${i}`, 'noStream'))));
    expect(oks([...results, ...later])).not.toContain(false);
    expect(heldDone).toBe(false);
    await commit();
    expect(oks(await Promise.all(held))).toEqual([false, true, true]);
    expect(await ids('held')).toHaveLength(3);
  });

  test('the transaction that holds it may append beside itself and wait for that', async () => {
    const commit = await hold('a', 'noStream');
    const behind = store.append([one('a', 'any'), one('b', 'any')]);
    await sleep(5);
    expect(await store.append(one('b', 'any'))).toMatchObject({ ok: true });
    await commit();
    expect(await behind).toMatchObject({ ok: true });
  });
});

describe('two processes', () => {
  test('that append to the same streams in groups: dense, nothing lost, nothing done twice, the log in order', async () => {
    const stores = [store, new EventStore(db.pool({ max: 8 }), 'shop')];
    const log: StoredEvent[] = [];
    let writing = true;
    const done = new Set<string>();
    const ownEvents = (): StoredEvent[] => log.filter((e) => e.stream.startsWith(`${run}-`));
    const reading = (async () => {
      let place = origin;
      // Open transactions of other suites on the same server hold the reader back: it is given 20 s after the last write.
      for (let until = Infinity; Date.now() < until;) {
        const events = await store.readAll(place, 100);
        log.push(...events);
        place = events.at(-1) ?? place;
        if (!writing && ownEvents().length >= done.size) return;
        if (!writing && until === Infinity) until = Date.now() + 20_000;
        if (events.length === 0) await sleep(5);
      }
    })();
    await Promise.all(
      Array.from({ length: 24 }, async (_, writer) => {
        const chance = random(writer + 1);
        for (let i = 0; i < 25; i++) {
          const streams = [...new Set([Math.floor(chance() * 12), ...(chance() < 0.2 ? [Math.floor(chance() * 12)] : [])])];
          const list = streams.map((s) => one(`s${s}`, 'any', chance() < 0.5 ? [event()] : [event(), event()]));
          const result = await stores[writer % 2]!.append(list);
          if (result.ok) for (const a of list) for (const e of a.events) done.add(e.id);
        }
      }),
    );
    writing = false;
    await reading;
    const own = ownEvents();
    expect(own.map((e) => e.id).sort()).toEqual([...done].sort());
    for (let s = 0; s < 12; s++) {
      const versions = own.filter((e) => e.stream === name(`s${s}`)).map((e) => e.version);
      expect(versions).toEqual(versions.map((_, i) => i + 1));
    }
  });
});

test('a lost connection is not taken for an append that was not done', async () => {
  const tx = await store.pool.connect();
  await tx.query('begin; lock table shop.events in access exclusive mode');
  const results = Promise.allSettled(['x', 'y', 'z'].map((s) => store.append(one(s, 'any'))));
  while ((await cutConnections(tx, `wait_event_type = 'Lock'`)) === 0) await sleep(5);
  expect((await results).map((r) => r.status)).toEqual(['rejected', 'rejected', 'rejected']);
  await tx.query('commit');
  tx.release();
  for (const stream of ['x', 'y', 'z']) expect(await ids(stream)).toEqual([]);
});
