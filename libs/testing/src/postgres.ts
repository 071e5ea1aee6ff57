import { createHash, randomUUID } from 'node:crypto';
import pg from 'pg';
import { sharedServer } from './shared/client.ts';

// eslint-disable-next-line @nx/enforce-module-boundaries -- the very launcher that embedded mode uses, so that tests run on it
export { startPostgres, type Postgres, type PostgresOptions } from '../../../infra/postgres/launcher.ts';

export type TemporaryDatabase = {
  readonly name: string;
  readonly connectionString: string;
  /** A pool of its own for each call, ended by `drop`. */
  pool(options?: Omit<pg.PoolConfig, 'connectionString'>): pg.Pool;
  /** Ends the pools, drops replication slots and the database. Call it in `afterAll`. */
  drop(): Promise<void>;
};

export type Template = {
  /** One template per name; another test run has a server of its own. */
  readonly name: string;
  /** Fills it: schemas, tables, data. Runs once. */
  readonly prepare: (pool: pg.Pool, connectionString: string) => Promise<unknown>;
};

/**
 * A database for one suite on the PostgreSQL that all suites of a run share: a clone of a template, some 30 ms. The server is real, durable,
 * and has logical replication. It ends by itself some seconds after the last test process.
 */
export const temporaryDatabase = async ({ template }: { template?: Template } = {}): Promise<TemporaryDatabase> => {
  const { connectionString: server } = await sharedServer<{ connectionString: string }>('postgres');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const from = template ? await ensureTemplate(server, template) : 'template1';
  await onServer(server, (client) => client.query(`create database ${name} template ${from}`));
  const connectionString = withDatabase(server, name);
  const pools: pg.Pool[] = [];
  return {
    name,
    connectionString,
    pool: (options = {}) => {
      const pool = new pg.Pool({ connectionString, max: 10, ...options });
      pool.on('error', () => undefined); // a test that ends connections on purpose
      pools.push(pool);
      return pool;
    },
    drop: async () => {
      await Promise.all(pools.map((pool) => (pool.ended ? undefined : pool.end())));
      await onServer(server, (client) => dropDatabase(client, name));
    },
  };
};

const ensureTemplate = async (server: string, { name, prepare }: Template): Promise<string> => {
  const database = `template_${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
  await onServer(server, async (client) => {
    await client.query(`select pg_advisory_lock(hashtextextended($1, 0))`, [database]);
    const { rowCount } = await client.query(`select from pg_database where datname = $1`, [database]);
    if (rowCount) return;
    await client.query(`create database ${database}_new`);
    const connectionString = withDatabase(server, `${database}_new`);
    const pool = new pg.Pool({ connectionString, max: 2 });
    try {
      await prepare(pool, connectionString);
    } finally {
      await pool.end();
    }
    await client.query(`alter database ${database}_new rename to ${database}`); // so a half-filled one is never cloned
  });
  return database;
};

const dropDatabase = async (client: pg.Client, name: string): Promise<void> => {
  const slots = `from pg_replication_slots where database = $1`;
  await client.query(`select pg_terminate_backend(active_pid) ${slots} and active`, [name]);
  for (let attempt = 0; attempt < 50; attempt++) {
    const { rowCount } = await client.query(`select pg_drop_replication_slot(slot_name) ${slots} and not active`, [name]);
    const { rows } = await client.query(`select ${'1'} ${slots}`, [name]);
    if (rows.length === 0) break;
    if (!rowCount) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // A connection that is on its way out hears of a force as an error, which a pool that has ended may have nobody to tell.
  for (let attempt = 0; attempt < 40 && (await connectedTo(client, name)); attempt++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  await client.query(`drop database if exists ${name} with (force)`);
};

const connectedTo = async (client: pg.Client, name: string): Promise<boolean> =>
  (await client.query('select from pg_stat_activity where datname = $1', [name])).rowCount !== 0;

const withDatabase = (connectionString: string, name: string): string => {
  const url = new URL(connectionString);
  url.pathname = `/${name}`;
  return url.href;
};

const onServer = async <T>(connectionString: string, work: (client: pg.Client) => Promise<T>): Promise<T> => {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
};
