import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import { EventStore, migrate } from '../index.ts';

let database: TemporaryDatabase;
beforeAll(async () => void (database = await temporaryDatabase()));
afterAll(() => database?.drop());

test('a connection that dies between two queries of a transaction fails that transaction, not the process', async () => {
  const pool = database.pool();
  await migrate(database.connectionString, 'shop');
  const store = new EventStore(pool, 'shop');
  const event = {
    id: '00000000-0000-7000-8000-000000000001',
    type: 'chrysalis.shop.thing.made.v1',
    data: {},
    meta: { at: '2026-01-01T00:00:00Z', correlationId: 'c', actor: 'a', tenant: 't' },
  };
  const dying = store.transaction(async (tx) => {
    const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid');
    await store.append({ stream: 'a', expected: 'noStream', events: [event] }, tx);
    await pool.query('select pg_terminate_backend($1)', [rows[0]!.pid]);
    await new Promise((resolve) => setTimeout(resolve, 100)); // its end arrives while no query runs
  });
  await expect(dying).rejects.toThrow();
  expect(await store.read('a')).toEqual([]);
  expect((await store.append({ stream: 'a', expected: 'noStream', events: [event] })).ok).toBe(true);
});
