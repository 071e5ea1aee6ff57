import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import type pg from 'pg';
import { listen, type ListenOptions } from '../index.ts';

let db: TemporaryDatabase;
let pool: pg.Pool;
let stop: (() => Promise<void>) | undefined;
let told: (string | undefined)[];
let errors: unknown[];

beforeAll(async () => {
  db = await temporaryDatabase();
  pool = db.pool();
});
afterAll(() => db?.drop());
beforeEach(() => void ([told, errors] = [[], []]));
afterEach(async () => void (await stop?.()));

const start = async (more: Partial<ListenOptions> = {}): Promise<void> => {
  stop = await listen({
    connection: { connectionString: db.connectionString, application_name: 'listens' },
    channel: 'news',
    woken: (payload) => void told.push(payload),
    onError: (error) => void errors.push(error),
    ...more,
  });
};
const say = (payload: string) => pool.query('select pg_notify($1, $2)', ['news', payload]);
const listeners = async () => (await pool.query(`select from pg_stat_activity where application_name = 'listens'`)).rowCount;
/** Ends the connection, and when it is gone, in the same breath, does what is to be done while it is away. */
const cut = (then = '') =>
  pool.query(`select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'listens'; ${then}`);

test('each notification wakes, with its payload', async () => {
  await start();
  await say('one');
  await say('');
  await until(async () => told.length === 2);
  expect(told).toEqual(['one', '']);
});

test('what is sent while the connection is away is not missed: whoever listens is woken when it is back, and hears on', async () => {
  let value = 0;
  let seen = 0;
  // As users do: what woke them is a hint, and what there is they look up.
  await start({ woken: (payload) => void (told.push(payload), (seen = value)) });
  value = 7;
  await cut(`notify news, 'lost'`);
  await until(async () => seen === 7);
  expect(told).toEqual([undefined]);
  expect(errors).toHaveLength(1);
  await say('again');
  await until(async () => told.length === 2);
  expect(told).toEqual([undefined, 'again']);
});

test('a database that is away at the start, and for a while, is come back to', async () => {
  const [name, other] = [db.name, `${db.name}_away`];
  const connection = { connectionString: db.connectionString.replace(name, other), application_name: 'listens' };
  await start({ connection });
  await until(async () => errors.length > 2);
  expect(told).toEqual([]);
  await pool.query(`create database ${other}`);
  await until(async () => told.length > 0);
  await stop?.();
  await pool.query(`drop database ${other} with (force)`);
  expect(told).toEqual([undefined]);
});

test('what a listener throws ends nothing', async () => {
  await start({
    woken: (payload) => {
      told.push(payload);
      throw new Error(`not ${payload}`);
    },
  });
  await say('one');
  await say('two');
  await until(async () => told.length === 2);
  expect(errors).toEqual([new Error('not one'), new Error('not two')]);
});

test('stopped, it leaves no connection behind and wakes nobody, also in the middle of a pause', async () => {
  await start();
  await stop?.();
  await until(async () => (await listeners()) === 0);
  await start();
  await cut();
  await until(async () => errors.length === 1);
  await stop?.();
  await new Promise((done) => setTimeout(done, 300));
  expect(await listeners()).toBe(0);
  expect(told).toEqual([]);
});
