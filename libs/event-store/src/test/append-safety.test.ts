// I4: versions are dense and unique; of two concurrent appends exactly one wins.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { TemporaryDatabase } from '@chrysalis/testing';
import { ConcurrentAppend, type EventStore } from '../index.ts';
import { event, openStore, random, sleep } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
beforeAll(async () => ({ db, store } = await openStore({ max: 18 })));
afterAll(() => db.drop());

const versions = async (stream: string): Promise<number[]> => (await store.read(stream)).map((e) => e.version);
const dense = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

describe('16 writers on one stream', () => {
  test('at the same expected version exactly one wins, round after round', async () => {
    for (let round = 0; round < 20; round++) {
      const events = Array.from({ length: 16 }, () => [event(), event()]);
      const results = await Promise.all(events.map((two) => store.append({ stream: 'contested', expected: round * 2, events: two })));
      const winners = results.flatMap((result, i) => (result.ok ? [i] : []));
      expect(winners).toHaveLength(1);
      for (const result of results) if (!result.ok) expect(result.conflict.actual).toBe((round + 1) * 2);
      const stored = await store.read('contested', { from: round * 2 + 1 });
      expect(stored.map((e) => e.id)).toEqual(events[winners[0]!]!.map((e) => e.id));
    }
    expect(await versions('contested')).toEqual(dense(40));
  });

  test('noStream: one creates it', async () => {
    const results = await Promise.all(
      Array.from({ length: 16 }, () => store.append({ stream: 'created', expected: 'noStream', events: [event()] })),
    );
    expect(results.filter((r) => r.ok)).toHaveLength(1);
    expect(await versions('created')).toEqual([1]);
  });

  test('any: all of them get in, dense', async () => {
    const results = await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let i = 0; i < 5; i++) {
          const result = await store.append({ stream: 'open', expected: 'any', events: [event()] });
          if (!result.ok) return false;
        }
        return true;
      }),
    );
    expect(results).not.toContain(false);
    expect(await versions('open')).toEqual(dense(80));
  });

  test('reload and try again in transactions of their own: no update is lost', async () => {
    const chance = random(7);
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let won = 0; won < 5;) {
          const expected = (await store.read('counter')).length;
          const attempt = store.transaction(async (tx) => {
            const result = await store.append({ stream: 'counter', expected, events: [event()] }, tx);
            await sleep(chance() * 2);
            return result.ok;
          });
          // A true race ends a caller's transaction; a stale expectation does not.
          const ok = await attempt.catch((error: unknown) => {
            if (!(error instanceof ConcurrentAppend)) throw error;
            return false;
          });
          if (ok) won++;
        }
      }),
    );
    expect(await versions('counter')).toEqual(dense(80));
  });

  test('appends over several streams are all or nothing, in any order of the streams', async () => {
    const chance = random(11);
    const won = await Promise.all(
      Array.from({ length: 16 }, async () => {
        let count = 0;
        for (let i = 0; i < 10; i++) {
          const streams = chance() < 0.5 ? ['left', 'right'] : ['right', 'left'];
          const current = (await store.read('left')).length;
          const result = await store.append(streams.map((stream) => ({ stream, expected: current, events: [event()] })));
          if (result.ok) count++;
        }
        return count;
      }),
    );
    const total = won.reduce((a, b) => a + b);
    expect(await versions('left')).toEqual(dense(total));
    expect(await versions('right')).toEqual(dense(total));
  });
});
