import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TemporaryDatabase } from '@chrysalis/testing';
import fc from 'fast-check';
import type pg from 'pg';
import { turnPause } from '../contention.ts';
import { ConcurrentAppend, isContention, type EventStore } from '../index.ts';
import { event, openStore } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
beforeAll(async () => ({ db, store } = await openStore({ max: 24 })));
afterAll(() => db.drop());

/** What a decider does in a transaction: read, and append at the version read, with work before and after that others can get between. */
const decide = async (tx: pg.PoolClient, streams: readonly string[]): Promise<void> => {
  for (const stream of streams) {
    const expected = (await store.read(stream, {}, tx)).length;
    await tx.query('select pg_sleep(0.002)');
    const appended = await store.append({ stream, expected, events: [event({ n: expected + 1 })] }, tx);
    if (!appended.ok) throw new ConcurrentAppend([stream]);
    await tx.query('select pg_sleep(0.002)');
  }
};

test('40 transactions at once on one stream all come to their turn, in a handful of tries each', async () => {
  let most = 0;
  await Promise.all(
    Array.from({ length: 40 }, async () => {
      let tries = 0;
      await store.transaction(
        async (tx) => {
          most = Math.max(most, ++tries);
          await decide(tx, ['one']);
        },
        { attempts: 20 },
      );
    }),
  );
  expect(await store.read('one')).toHaveLength(40);
  expect(most).toBeLessThanOrEqual(8);
});

test('over two streams in opposite order, where they lock each other out, too', async () => {
  await Promise.all(
    Array.from({ length: 4 }, (_, i) =>
      store.transaction((tx) => decide(tx, i % 2 === 0 ? ['left', 'right'] : ['right', 'left']), { attempts: 20 }),
    ),
  );
  expect([(await store.read('left')).length, (await store.read('right')).length]).toEqual([4, 4]);
});

test('with one attempt a lost race is thrown, as contention and nothing else', async () => {
  const both = await Promise.allSettled([1, 2].map(() => store.transaction((tx) => decide(tx, ['once']))));
  const lost = both.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  expect(lost.map(isContention)).toEqual([true]);
  expect(isContention(new Error('the disk is full'))).toBe(false);
  expect(isContention(Object.assign(new Error('unique'), { code: '23505' }))).toBe(false);
});

test('pauses are within a bound that doubles, and spread over all of it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, chance) => {
      const pause = turnPause(attempt, chance);
      expect(pause).toBeGreaterThanOrEqual(0);
      expect(pause).toBeLessThan(251);
      expect(pause).toBeLessThanOrEqual(10 * 2 ** (attempt - 1));
    }),
  );
});
