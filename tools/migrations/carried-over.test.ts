import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { migrate } from '@chrysalis/event-store';
import { temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import type pg from 'pg';
import { catalogue } from './catalogue.ts';
import { sequences } from './sequences.ts';

const all = sequences();
const schemas = Object.keys(all);

/** The migrations that say again what was there before they were numbered files. What came later may change rows. */
const LAST_BEFORE: Readonly<Record<string, number>> = {
  agent_gateway: 1001,
  bus: 1,
  migration_templates: 1001,
  provisioning: 1001,
  read: 1002,
  resource_allocation: 1002,
  workflow: 1007,
};
const said = (name: string): string => readFileSync(path.join(import.meta.dirname, 'before-numbers', `${name}.sql`), 'utf8');

/** Each row of each table, but for what noted the migrations. */
const rowsOf = async (pool: pg.Pool): Promise<Record<string, unknown[]>> => {
  const { rows: tables } = await pool.query<{ name: string }>(
    `select table_schema || '.' || table_name as name from information_schema.tables
     where table_schema = any($1) and table_type = 'BASE TABLE' and table_name !~ '^(event_store|read_model|schema)_migrations$' order by 1`,
    [schemas],
  );
  const found: Record<string, unknown[]> = {};
  for (const { name } of tables) found[name] = (await pool.query(`select to_jsonb(t) as row from ${name} t order by t::text`)).rows;
  return found;
};

describe('an installation of the time before numbered migrations', () => {
  let old: TemporaryDatabase;
  let fresh: TemporaryDatabase;
  let pool: pg.Pool;
  beforeAll(async () => {
    [old, fresh] = await Promise.all([temporaryDatabase(), temporaryDatabase()]);
    pool = old.pool();
    for (const schema of schemas) {
      if (schema !== 'bus') await pool.query(said('log').replaceAll('SCHEMA', schema));
      await pool.query(said(schema));
    }
  });
  afterAll(() => Promise.all([old?.drop(), fresh?.drop()]));

  test('is carried over with every row it has, and ends as a new one begins', async () => {
    const before = await rowsOf(pool);
    expect(Object.entries(before).filter(([, rows]) => rows.length === 0)).toEqual([]);
    const told = schemas.map((s) => ({ s, first: all[s]!.filter((m) => m.number <= LAST_BEFORE[s]!) }));
    await Promise.all(told.map(({ s, first }) => migrate(old.connectionString, s, first)));
    expect(await rowsOf(pool)).toEqual(before);

    await Promise.all(schemas.flatMap((s) => [old, fresh].map((db) => migrate(db.connectionString, s, all[s]!))));
    expect(await catalogue(pool, schemas)).toEqual(await catalogue(fresh.pool(), schemas));
    for (const schema of schemas) expect(await migrate(old.connectionString, schema, all[schema]!)).toEqual({ applied: [], unknown: [] });
  });

  test('its ledger still guards itself', async () => {
    const held = async () => (await pool.query('select vcpu_held::int as n from resource_allocation.hosts')).rows[0];
    expect(await held()).toEqual({ n: 1 });
    await pool.query('update resource_allocation.ledger set vcpu = 3');
    expect(await held()).toEqual({ n: 3 });
    await expect(pool.query('update resource_allocation.ledger set vcpu = 5')).rejects.toThrow('hosts_not_over_capacity');
  });
});
