import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { EventStore, migrate } from '@chrysalis/event-store';
import { startPostgres, type Postgres } from '@chrysalis/testing';
import pg from 'pg';
import { createBus, startRelay, toCloudEvent, type EventBus, type Relay } from '../index.ts';
import { newEvent, until, upTo } from './support.ts';

// Tests that do to a server what the one that all suites share must not suffer.
let server: Postgres;
let pool: pg.Pool;
let store: EventStore;
let bus: EventBus;
let relay: Relay | undefined;
let ids: string[];

const open = async (settings: Record<string, string | number>): Promise<void> => {
  server = await startPostgres({ settings });
  pool = new pg.Pool({ connectionString: server.connectionString, max: 20 });
  pool.on('error', () => undefined);
  await migrate(server.connectionString, 'shop');
  store = new EventStore(pool, 'shop');
  bus = createBus({ kind: 'embedded', pool, connectionString: server.connectionString });
  await bus.ensureTopics([{ name: 'events', partitions: 3 }]);
};
beforeEach(() => {
  ids = [];
});
afterEach(async () => {
  await relay?.stop();
  relay = undefined;
  await bus?.close();
  await pool?.end();
  await server?.stop();
});

const start = async (): Promise<void> => {
  const route = (event: Parameters<typeof toCloudEvent>[0]) => [{ topic: 'events', event: toCloudEvent(event, { context: 'test' }) }];
  relay = await startRelay({ store, schema: 'shop', bus, mode: 'logical', route });
};
const append = async (stream: string, tx?: pg.PoolClient): Promise<void> => {
  const event = newEvent({ n: 1 });
  await store.append({ stream, expected: 0, events: [event] }, tx);
  ids.push(event.id);
};
const onBus = async (): Promise<readonly string[]> =>
  (await pool.query<{ id: string }>(`select distinct event->>'id' as id from bus.messages`)).rows.map((row) => row.id).sort();
/** Of a server that crashed a pool still has connections: each is found out by who uses it. */
const allOnBus = async (): Promise<void> => {
  let seen: readonly string[] = [];
  await until('all of it is on the bus', async () => {
    seen = await onBus().catch(() => []);
    return seen.length >= ids.length;
  });
  expect(seen).toEqual([...ids].sort());
};

test('what the relay has told PostgreSQL outlives a crash of PostgreSQL: the bus has it, or gets it again', async () => {
  // Nothing but a commit that asks for it is written to this disk by itself.
  await open({ wal_writer_delay: '10s', wal_writer_flush_after: 0, bgwriter_delay: '10s' });
  const restartPlace = async (): Promise<string> =>
    (await pool.query<{ place: string }>('select restart_lsn::text as place from pg_replication_slots')).rows[0]!.place;
  await start();
  await append('warm');
  await allOnBus();
  for (const round of upTo(3)) {
    const before = await restartPlace();
    await pool.query('select pg_log_standby_snapshot()'); // with its next word the relay's place is written to the disk
    await append(`s-${round}`);
    await until('its place is on the disk', async () => (await restartPlace()) !== before);
    const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
    process.kill(rows[0]!.pid, 'SIGKILL'); // the server then ends everything and begins with what is on its disk
    await until('the server is back', () =>
      pool.query('select 1').then(
        () => true,
        () => false,
      ),
    );
    await allOnBus();
  }
});

test('a commit that is in the WAL before the slot begins, and seen only after, is published', async () => {
  // `on` waits for a standby that is not there, between the WAL and being seen: as a commit does whose process is not scheduled.
  await open({ synchronous_standby_names: 'nobody', synchronous_commit: 'local' });
  const session = async (): Promise<{ tx: pg.PoolClient; pid: number }> => {
    const tx = await pool.connect();
    await tx.query('begin');
    const { rows } = await tx.query<{ pid: number }>('select pg_backend_pid() as pid, pg_current_xact_id()');
    return { tx, pid: rows[0]!.pid };
  };
  const end = async ({ tx }: { tx: pg.PoolClient }): Promise<void> => {
    await tx.query('rollback');
    tx.release();
  };
  const slotWaitsFor = (pid: number): Promise<void> =>
    until('the making of the slot waits', async () => {
      const { rows } = await pool.query(
        `select from pg_stat_activity where application_name = 'chrysalis-relay-shop' and $1 = any(pg_blocking_pids(pid))`,
        [pid],
      );
      return rows.length > 0;
    });

  const older = await session();
  await start();
  await slotWaitsFor(older.pid);
  const younger = await session();
  await end(older);
  await slotWaitsFor(younger.pid);
  const late = await session();
  await late.tx.query('set local synchronous_commit = on');
  await append('late', late.tx);
  const committed = late.tx.query('commit');
  try {
    await until('it is in the WAL', async () => {
      const { rowCount } = await pool.query(`select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`, [late.pid]);
      return rowCount === 1;
    });
    await end(younger);
    await append('next');
    await until('the relay reads the log without it, or waits', async () => {
      const waits = `select from pg_stat_activity where pid <> pg_backend_pid() and query like '%pg_snapshot_xmin%'`;
      return (await onBus()).length > 0 || (await pool.query(waits)).rowCount === 1;
    });
  } finally {
    await pool.query('select pg_cancel_backend($1)', [late.pid]); // the wait ends, the commit stands
    await committed;
    late.tx.release();
  }
  await allOnBus();
});
