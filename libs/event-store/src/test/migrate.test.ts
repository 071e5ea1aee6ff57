import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import type pg from 'pg';
import { afterLog, migrate, migrationsIn, type Migration } from '../index.ts';

const migration = (number: number, sql: string): Migration => ({ number, name: `step-${number}`, sql });
const one = migration(1, 'create table one (n int); create index one_n on one (n)');
const two = migration(2, 'create table two (n int)');

describe('migrations', () => {
  let db: TemporaryDatabase;
  let pool: pg.Pool;
  beforeAll(async () => {
    db = await temporaryDatabase();
    pool = db.pool();
  });
  afterAll(() => db?.drop());
  afterEach(() => pool.query('drop schema if exists shop cascade'));

  const run = (...migrations: Migration[]) => migrate(db.connectionString, 'shop', migrations);
  const tables = async (): Promise<string[]> => {
    const { rows } = await pool.query<{ name: string }>(
      `select tablename as name from pg_tables where schemaname = 'shop' and tablename <> 'schema_migrations' order by 1`,
    );
    return rows.map((row) => row.name);
  };

  test('run in the order of their numbers, each once; a later start runs the new ones', async () => {
    expect((await run(two, one)).applied).toEqual(['0001-step-1.sql', '0002-step-2.sql']);
    expect((await run(two, one)).applied).toEqual([]);
    const three = migration(3, 'alter table two add column m int');
    expect((await run(one, two, three)).applied).toEqual(['0003-step-3.sql']);
    expect(await tables()).toEqual(['one', 'two']);
    expect(await run(one, two)).toEqual({ applied: [], unknown: ['step-3-0000000000003'] });
  });

  test('one that fails leaves nothing of itself, says which it was, and is run by the next start; what came before it stays', async () => {
    const faulty = migration(2, 'create table two (n int); select 1 / 0');
    await expect(run(one, faulty)).rejects.toThrow('migration 0002-step-2.sql of schema shop: division by zero');
    expect(await tables()).toEqual(['one']);
    expect((await run(one, two)).applied).toEqual(['0002-step-2.sql']);
    expect(await tables()).toEqual(['one', 'two']);
  });

  test('whoever waits goes on where one that was killed in the middle had got to', async () => {
    const slow = migration(2, 'create table half (n int); select pg_sleep(60)');
    const killed = expect(run(one, slow)).rejects.toThrow('migration 0002');
    const sleeping = `select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`;
    const waiting = `select from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`;
    const { pid } = await until(async () => (await pool.query<{ pid: number }>(sleeping)).rows[0]);
    const next = run(one, two);
    await until(async () => (await pool.query(waiting)).rowCount === 1);
    await pool.query('select pg_terminate_backend($1)', [pid]);
    await killed;
    expect((await next).applied).toEqual(['0002-step-2.sql']);
    expect(await tables()).toEqual(['one', 'two']);
  });

  test('many starts at once, in several schemas: each migration runs once', async () => {
    const schemas = ['shop', 'store', 'shop', 'store', 'shop', 'store'];
    const applied = await Promise.all(schemas.map((schema) => migrate(db.connectionString, schema, afterLog([]))));
    expect(applied.filter((a) => a.applied.length > 0)).toHaveLength(2);
  });

  test('have numbers of their own: those of the log are below 1001, and those of a service are not', () => {
    expect(() => afterLog([migration(1001, ''), { ...migration(1001, ''), name: 'another' }])).toThrow(
      'two migrations have the number 1001',
    );
    expect(() => afterLog([migration(2, '')])).toThrow('numbered from 1001 on, not 2 (step-2)');
    expect(afterLog([migration(1002, ''), migration(1001, '')]).map((m) => m.number)).toEqual([1, 1001, 1002]);
  });

  describe('in a folder', () => {
    let folder: string;
    beforeEach(() => void (folder = mkdtempSync(path.join(os.tmpdir(), 'migrations-'))));
    afterEach(() => rmSync(folder, { recursive: true }));

    test('are the files with a number, in their order', () => {
      for (const file of ['1002-b.sql', '1001-more-of-a.sql', 'SHA256SUMS']) writeFileSync(path.join(folder, file), file);
      expect(migrationsIn(folder)).toEqual([
        { number: 1001, name: 'more-of-a', sql: '1001-more-of-a.sql' },
        { number: 1002, name: 'b', sql: '1002-b.sql' },
      ]);
    });

    test.each(['queue.sql', '0000-a.sql', '101-a.sql', '1001_a.sql', '1001-A.sql'])('%s is none, and said to be none', (file) => {
      writeFileSync(path.join(folder, file), '');
      expect(() => migrationsIn(folder)).toThrow(`NNNN-what-it-does.sql, from 0001 on: ${path.join(folder, file)}`);
    });
  });
});
