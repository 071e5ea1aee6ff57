import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { EventStore } from '@chrysalis/event-store';
import { temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { PreparingClient } from './prepared.ts';

let db: TemporaryDatabase;
let pool: pg.Pool;
let store: EventStore;
beforeAll(async () => {
  db = await temporaryDatabase();
  pool = new pg.Pool({ connectionString: db.connectionString, max: 1, Client: PreparingClient, pipeline: true });
  store = new EventStore(pool, 'any');
});
afterAll(async () => {
  await pool?.end();
  await db?.drop();
});

const prepared = async (): Promise<string[]> =>
  (await pool.query<{ statement: string }>('select statement from pg_prepared_statements order by 1')).rows.map((r) => r.statement);

describe('a connection of a service', () => {
  test('prepares what has values, once, by text or by name, and leaves the rest as it is', async () => {
    for (const n of [1, 2, 3]) expect((await pool.query('select $1::int as n', [n])).rows).toEqual([{ n }]);
    const named = { name: 'mine', text: 'select $1::text as t' };
    expect((await pool.query(named, ['a'])).rows).toEqual([{ t: 'a' }]);
    expect((await pool.query({ ...named, values: ['b'] })).rows).toEqual([{ t: 'b' }]);
    expect((await pool.query({ text: 'select 1 as one', rowMode: 'array' })).rows).toEqual([[1]]);
    expect((await pool.query('select 2 as two', [])).rows).toEqual([{ two: 2 }]);
    // A column that is added beside us would be the end of a prepared one.
    await pool.query('create table wide (a int)');
    expect((await pool.query('select * from wide where a = $1', [1])).fields).toHaveLength(1);
    await pool.query('alter table wide add column b int');
    expect((await pool.query('select * from wide where a = $1', [1])).fields).toHaveLength(2);
    expect(await prepared()).toEqual(['select $1::int as n', 'select $1::text as t']);
  });

  test('says what is wrong, and goes on', async () => {
    await expect(pool.query('select $1::int as n', ['x'])).rejects.toMatchObject({ code: '22P02' });
    await expect(pool.query('select nothing($1)', [1])).rejects.toMatchObject({ code: '42883' });
    const round: Record<string, unknown> = {};
    round['self'] = round;
    await expect(pool.query('select $1::jsonb', [round])).rejects.toThrow(/circular/);
    expect((await pool.query('select $1::int as n', [4])).rows).toEqual([{ n: 4 }]);
  });

  test('a transaction whose first statement goes out with its begin is all or nothing', async () => {
    await pool.query('create table kept (n int)');
    const add = (tx: pg.PoolClient, n: number) => tx.query('insert into kept values ($1)', [n]);
    await store.transaction(async (tx) => void (await Promise.all([add(tx, 1), add(tx, 2)])));
    await expect(
      store.transaction(async (tx) => {
        await add(tx, 3);
        await tx.query('select 1 / $1::int', [0]);
      }),
    ).rejects.toMatchObject({ code: '22012' });
    await expect(store.transaction(() => Promise.reject(new Error('at once')))).rejects.toThrow('at once');
    expect((await pool.query('select n from kept order by n')).rows).toEqual([{ n: 1 }, { n: 2 }]);
  });
});
