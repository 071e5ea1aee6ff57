// I3: each committed event is read once, whatever order transactions commit in; and the reader everybody writes first loses some.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TemporaryDatabase } from '@chrysalis/testing';
import { origin, type EventStore, type Position, type StoredEvent } from '../index.ts';
import { event, openStore, random, sleep } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
beforeAll(async () => ({ db, store } = await openStore({ max: 55 })));
afterAll(() => db.drop());

/** One transaction: append, wait, commit or not. Returns what was committed. */
const write = async (stream: string, chance: () => number): Promise<string[]> => {
  const events = [event(), event()].slice(0, 1 + Math.floor(chance() * 2));
  const commits = chance() < 0.8;
  const pauseMs = chance() * 25;
  await store
    .transaction(async (tx) => {
      await store.append({ stream, expected: 'any', events }, tx);
      await sleep(pauseMs);
      if (!commits) throw new Error('rolled back on purpose');
    })
    .catch((error: Error) => {
      if (commits) throw error;
    });
  return commits ? events.map((e) => e.id) : [];
};

const readUntil = async (done: () => boolean, next: () => Promise<number>): Promise<void> => {
  for (let empty = 0; empty < 3;) {
    const finished = done();
    const count = await next();
    if (count > 0) empty = 0;
    else if (finished) empty++;
    await sleep(1);
  }
};

describe('50 writers that pause before they commit, and roll back', () => {
  test('the ordered read gives each event once; global_position > checkpoint loses some', async () => {
    const ordered: StoredEvent[] = [];
    const naive: string[] = [];
    let writing = true;
    let place: Position = origin;
    let last = '0';
    const end = event();
    /** To what was written last: another transaction of this server, of whatever database, may hold back what follows it for a while. */
    const readInOrder = async (): Promise<void> => {
      while (ordered.at(-1)?.id !== end.id) {
        const events = await store.readAll(place, 20);
        ordered.push(...events);
        if (events.length > 0) place = events.at(-1)!;
        else await sleep(1);
      }
    };
    const readers = [
      readInOrder(),
      readUntil(
        () => !writing,
        async () => {
          const { rows } = await store.pool.query<{ id: string; global_position: string }>(
            'select id, global_position from shop.events where global_position > $1 order by global_position limit 20',
            [last],
          );
          naive.push(...rows.map((row) => row.id));
          last = rows.at(-1)?.global_position ?? last;
          return rows.length;
        },
      ),
    ];
    const committed = await Promise.all(
      Array.from({ length: 50 }, async (_, writer) => {
        const chance = random(writer + 1);
        const ids: string[] = [];
        for (let i = 0; i < 12; i++) ids.push(...(await write(`stream-${writer}`, chance)));
        return ids;
      }),
    );
    await store.append({ stream: 'end', expected: 'any', events: [end] });
    writing = false;
    await Promise.all(readers);

    const ids = [...committed.flat(), end.id].sort();
    expect(ordered.map((e) => e.id).sort()).toEqual(ids);
    const lost = ids.filter((id) => !naive.includes(id));
    expect(lost.length).toBeGreaterThan(0);
    process.stdout.write(`I3: ${ids.length} events committed; ordered read ${ordered.length}, naive read lost ${lost.length}\n`);
    for (let writer = 0; writer < 50; writer++) {
      const versions = ordered.filter((e) => e.stream === `stream-${writer}`).map((e) => e.version);
      expect(versions).toEqual(versions.map((_, i) => i + 1));
    }
  });

  test('a transaction that took its id early and appends late does not come before what it follows', async () => {
    const early = await store.pool.connect();
    const open = await store.pool.connect();
    try {
      await early.query('begin');
      await store.firstSeen(early, 'a', 'takes a transaction id'); // as a consumer does before its effect
      await open.query('begin');
      await store.firstSeen(open, 'b', 'takes the next one'); // keeps what comes later from being read
      await store.append({ stream: 'followed', expected: 'noStream', events: [event()] });
      await store.append({ stream: 'followed', expected: 1, events: [event()] }, early);
      await early.query('commit');
      const before = await store.readAll(origin, 10_000);
      expect(before.filter((e) => e.stream === 'followed')).toEqual([]);
      await open.query('commit');
      const followed = async (): Promise<number[]> =>
        (await store.readAll(origin, 10_000)).filter((e) => e.stream === 'followed').map((e) => e.version);
      for (let i = 0; i < 500 && (await followed()).length < 2; i++) await sleep(20); // transactions of other suites hold it back, too
      expect(await followed()).toEqual([1, 2]);
    } finally {
      early.release();
      open.release();
    }
  });
});
