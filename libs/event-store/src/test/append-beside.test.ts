// Appends with a caller's own rows in the same statement: in or out with their stream, and all of it one commit.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { TemporaryDatabase } from '@chrysalis/testing';
import type { Append, Expected } from '../index.ts';
import { isUndone, type EventStore } from '../index.ts';
import { event, openStore } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
let statement: ReturnType<EventStore['beside']>;
beforeAll(async () => {
  ({ db, store } = await openStore({ max: 8 }));
  await store.pool.query('create table shop.notes (stream text primary key, note text not null)');
  statement = store.beside({
    name: 'noting',
    ctes: `noted as (
      insert into shop.notes select n.stream, n.note from unnest($13::text[], $14::text[]) as n (stream, note)
      where n.stream not in (select stream_id from decided where not all_fit) returning stream
    )`,
    answer: `(select array_agg(stream order by stream) from noted)`,
  });
});
afterAll(() => db.drop());

const one = (stream: string, expected: Expected, events = [event()]): Append => ({ stream, expected, events });
const note = (appends: readonly Append[], streams = appends.map((a) => a.stream)) =>
  store.appendBeside(statement, appends, [streams, streams.map((s) => `about ${s}`)]);
const noted = async (streams: readonly string[]): Promise<string[]> =>
  (await store.pool.query<{ stream: string }>('select stream from shop.notes where stream = any ($1) order by stream', [streams])).rows.map(
    (r) => r.stream,
  );

test('what is appended and what stands beside it are one commit', async () => {
  const { answers, answer } = await note([one('a', 'noStream', [event(), event()]), one('b', 0)]);
  expect(answers).toEqual([
    { ok: true, versions: { a: 2 } },
    { ok: true, versions: { b: 1 } },
  ]);
  expect(answer).toEqual(['a', 'b']);
  const { rows } = await store.pool.query(
    `select xmin::text from shop.events where stream_id in ('a', 'b') union select xmin::text from shop.notes where stream in ('a', 'b')`,
  );
  expect(rows).toHaveLength(1);
});

test('a conflict is told to its own append alone, and what stood beside it stays out', async () => {
  const { answers, answer } = await note([one('c', 0), one('d', 5), one('e', 0)]);
  expect(answers[1]).toEqual({ ok: false, conflict: { stream: 'd', expected: 5, actual: 0 } });
  expect(answers.map((a) => a.ok)).toEqual([true, false, true]);
  expect(answer).toEqual(['c', 'e']);
  expect(await noted(['c', 'd', 'e'])).toEqual(['c', 'e']);
});

test('there may be nothing to append, or nothing beside', async () => {
  expect(await note([], ['f'])).toEqual({ answers: [], answer: ['f'] });
  expect((await note([one('g', 0)], [])).answers).toEqual([{ ok: true, versions: { g: 1 } }]);
});

test('a stream that another transaction holds ends it soon, and nothing of it is done', async () => {
  const tx = await store.pool.connect();
  await tx.query('begin');
  await store.append(one('held', 0), tx);
  const began = performance.now();
  const error = await note([one('h', 0), one('held', 0)]).catch((e: unknown) => e);
  expect(performance.now() - began).toBeLessThan(20_000); // its holder would keep it for ever
  expect(isUndone(error)).toBe(true);
  await tx.query('commit');
  tx.release();
  expect(await noted(['h', 'held'])).toEqual([]);
  expect(await store.read('h')).toEqual([]);
});

test('those who wait for appends are woken', async () => {
  let woken = 0;
  const end = store.onAppend(() => void woken++);
  await note([one('i', 3)]);
  expect(woken).toBe(0);
  await note([one('i', 0)]);
  expect(woken).toBe(1);
  end();
});
