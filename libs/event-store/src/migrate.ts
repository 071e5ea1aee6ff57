import pg from 'pg';
import { migrations } from './migrations/index.ts';
import { identifier } from './sql/identifier.ts';

/** The role services run as: reads all, adds events, never changes one. */
export const appRole = 'chrysalis_app';

/**
 * Brings a schema to the newest version. Safe to run again and by many at once: one lock per database, the others wait, then find
 * nothing to do. All in one transaction: a failed migration leaves nothing.
 */
export const migrate = async (database: pg.Pool | pg.ClientBase, schema: string): Promise<{ readonly applied: readonly string[] }> => {
  identifier(schema);
  if (!(database instanceof pg.Pool)) return inTransaction(database, schema);
  const client = await database.connect();
  try {
    return await inTransaction(client, schema);
  } finally {
    client.release();
  }
};

const inTransaction = async (client: pg.ClientBase, schema: string): Promise<{ applied: readonly string[] }> => {
  await client.query('begin');
  try {
    const applied = await applyMissing(client, schema);
    await client.query('commit');
    return { applied };
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
};

const applyMissing = async (client: pg.ClientBase, schema: string): Promise<readonly string[]> => {
  await client.query(`select pg_advisory_xact_lock(hashtextextended('chrysalis.migrate', 0))`);
  await client.query(ensureRole);
  await client.query(`create schema if not exists ${schema}`);
  await client.query(
    `create table if not exists ${schema}.event_store_migrations (name text primary key, at timestamptz not null default now())`,
  );
  const { rows } = await client.query<{ name: string }>(`select name from ${schema}.event_store_migrations`);
  const done = new Set(rows.map((row) => row.name));
  const missing = migrations.filter(({ name }) => !done.has(name));
  for (const { name, sql } of missing) {
    await client.query(sql(schema));
    await client.query(`insert into ${schema}.event_store_migrations (name) values ($1)`, [name]);
  }
  if (missing.length > 0) await client.query(grants(schema));
  return missing.map(({ name }) => name);
};

// Roles belong to the whole cluster, so two databases can race here whatever lock they hold: the loser finds it made.
const ensureRole = `
  do $$ begin
    if not exists (select from pg_roles where rolname = '${appRole}') then create role ${appRole} nologin; end if;
    if not pg_has_role('${appRole}', 'member') then grant ${appRole} to current_user; end if;
  exception when duplicate_object or unique_violation then null;
  end $$`;

const grants = (schema: string): string => `
  grant usage on schema ${schema} to ${appRole};
  alter default privileges in schema ${schema} grant select, insert, update, delete on tables to ${appRole};
  alter default privileges in schema ${schema} grant usage, select on sequences to ${appRole};
  grant select, insert, update, delete on all tables in schema ${schema} to ${appRole};
  grant usage, select on all sequences in schema ${schema} to ${appRole};
  revoke update, delete, truncate on ${schema}.events from ${appRole};
  revoke insert, update, delete, truncate on ${schema}.event_store_migrations from ${appRole}`;
