import { EventStore, migrate, type NewEvent } from '@chrysalis/event-store';
import pg from 'pg';
import { v7 as uuid } from 'uuid';
import { startPostgres } from '../../infra/postgres/launcher.ts';
import { installPeers, loadPeer } from './peers.ts';
import { contender, median, report, target, type BenchOptions, type Report } from './report.ts';

const writers = 16;
/** A round is made of short turns of each contender, so that what else the machine does meets all of them. */
const turns = 6;
const turnMs = 400;
const sizes = [1, 10] as const;
/** A stream gets so many appends, then the writer begins a new one. */
const appendsPerStream = 100;

/** Appends `size` events at the version it knows to be the stream's. */
type Append = (stream: string, version: number, size: number) => Promise<void>;
type Runner = { readonly name: string; readonly version: string; readonly append: Append };

/** 16 writers, each with its own streams, at versions they know, on one PostgreSQL with fsync on: nobody has a conflict, all have to check. */
export const bench = async ({ rounds, progress }: BenchOptions): Promise<Report> => {
  installPeers(progress);
  const postgres = await startPostgres();
  const pools = Array.from({ length: 3 }, () => new pg.Pool({ connectionString: postgres.connectionString, max: writers }));
  for (const pool of pools) pool.on('error', () => undefined); // the server ends before the peer has let go of it
  const [ownPool, peerPool, rawPool] = pools as [pg.Pool, pg.Pool, pg.Pool];
  const emmett = await emmettRunner(postgres.connectionString, peerPool);
  try {
    const runners = [await ownRunner(postgres.connectionString, ownPool), emmett, await rawRunner(rawPool)];
    const results = new Map<string, number[]>();
    for (const runner of runners) await measure(runner, 1, 500);
    const took = (round: number, runner: Runner, size: number, rates: readonly number[]): void => {
      const rate = rates.reduce((a, b) => a + b) / turns;
      const key = `${runner.name} ${size}`;
      results.set(key, [...(results.get(key) ?? []), rate]);
      progress(`round ${round}: ${runner.name}, ${size} an append: ${Math.round(rate)} events/s`);
    };
    for (let round = 1; round <= rounds; round++)
      for (const size of sizes) (await takeTurns(runners, size)).forEach((rates, runner) => took(round, runner, size, rates));
    return conclude(runners, results, rounds, postgres.version);
  } finally {
    await emmett.close();
    await Promise.all(pools.map((pool) => pool.end()));
    await postgres.stop();
  }
};

const takeTurns = async (runners: readonly Runner[], size: number): Promise<ReadonlyMap<Runner, number[]>> => {
  const rates = new Map<Runner, number[]>(runners.map((runner) => [runner, []]));
  for (let turn = 0; turn < turns; turn++)
    for (let i = 0; i < runners.length; i++) {
      const runner = runners[(i + turn) % runners.length]!;
      rates.get(runner)!.push(await measure(runner, size, turnMs));
    }
  return rates;
};

const conclude = (runners: readonly Runner[], results: ReadonlyMap<string, number[]>, rounds: number, version: string): Report => {
  const values = (name: string, size: number): number[] => results.get(`${name} ${size}`)!;
  const contenders = sizes.flatMap((size) =>
    runners.map((r) =>
      contender(
        `${r.name}, ${writers} writers, ${size} ${size === 1 ? 'event' : 'events'} an append`,
        r.version,
        'events/s',
        values(r.name, size),
      ),
    ),
  );
  /** Within a round, as both ran under the same conditions then. */
  const ratio = (name: string, size: number): number => {
    const others = values(name, size);
    return median(values(own, size).map((value, i) => value / others[i]!));
  };
  const targets = sizes.flatMap((size) => [
    target(`${own} over ${peer}, ${size} an append`, ratio(peer, size), '>=', 3),
    target(`${own} over ${raw}, ${size} an append`, ratio(raw, size), '>=', 0.8),
  ]);
  return report('append', rounds, { database: `PostgreSQL ${version}`, fsync: 'on' }, contenders, targets);
};

const measure = async ({ append }: Runner, size: number, ms: number): Promise<number> => {
  const started = performance.now();
  let events = 0;
  const writer = async (): Promise<void> => {
    while (performance.now() - started < ms) {
      const stream = `stream-${uuid()}`;
      for (let n = 0; n < appendsPerStream && performance.now() - started < ms; n++) {
        await append(stream, n * size, size);
        events += size;
      }
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  return (events * 1_000) / (performance.now() - started);
};

const own = 'chrysalis event-store';
const peer = 'emmett-postgresql';
const raw = 'raw insert';

/** The same payload for all: an allocation, some 300 bytes. */
const payload = () => ({
  hostId: 'host-0042',
  allocationId: uuid(),
  vmId: 'vm-000123',
  amounts: { vcpu: 4, memoryMiB: 8192, diskMiB: 40960 },
  consumer: { kind: 'move', id: 'move-77' },
  note: 'held for the target side of a move until it is decided',
});
const meta = () => ({ at: new Date().toISOString(), correlationId: 'c-1', actor: 'service:resource-allocation', tenant: 'acme' });
const type = 'chrysalis.resource-allocation.capacity.held.v1';

const ownRunner = async (databaseUrl: string, pool: pg.Pool): Promise<Runner> => {
  await migrate(databaseUrl, 'bench');
  const store = new EventStore(pool, 'bench');
  return {
    name: own,
    version: '0.1.0',
    append: async (stream, version, size) => {
      const shared = meta();
      const events: NewEvent[] = Array.from({ length: size }, () => ({ id: uuid(), type, data: payload(), meta: shared }));
      const appended = await store.append({ stream, expected: version, events });
      if (!appended.ok) throw new Error('a conflict where there can be none');
    },
  };
};

/** The least that stores the same durably: no version, no check, one index. */
const rawRunner = async (pool: pg.Pool): Promise<Runner> => {
  await pool.query(`create table public.raw (
    position bigint generated always as identity primary key, stream_id text not null, id uuid not null, type text not null,
    data jsonb not null, meta jsonb not null, at timestamptz not null default now())`);
  const insert = {
    name: 'raw',
    text: `insert into public.raw (stream_id, id, type, data, meta)
      select $1, * from unnest($2::uuid[], $3::text[], $4::jsonb[], $5::jsonb[])`,
  };
  return {
    name: raw,
    version: 'PostgreSQL',
    append: async (stream, _version, size) => {
      const n = Array.from({ length: size });
      const shared = JSON.stringify(meta());
      await pool.query(insert, [
        stream,
        n.map(() => uuid()),
        n.map(() => type),
        n.map(() => JSON.stringify(payload())),
        n.map(() => shared),
      ]);
    },
  };
};

type Emmett = {
  getPostgreSQLEventStore(
    connectionString: string,
    options: { connectionOptions: { pool: pg.Pool } },
  ): {
    schema: { migrate(): Promise<unknown> };
    appendToStream(
      stream: string,
      events: unknown[],
      options: { expectedStreamVersion: bigint | 'STREAM_DOES_NOT_EXIST' },
    ): Promise<unknown>;
    close(): Promise<void>;
  };
};

const emmettRunner = async (connectionString: string, pool: pg.Pool): Promise<Runner & { close(): Promise<void> }> => {
  const { module, version } = await loadPeer<Emmett>('@event-driven-io/emmett-postgresql');
  const store = module.getPostgreSQLEventStore(connectionString, { connectionOptions: { pool } });
  await store.schema.migrate();
  return {
    name: peer,
    version,
    close: () => store.close(),
    append: async (stream, at, size) => {
      const metadata = meta();
      const events = Array.from({ length: size }, () => ({ type, data: payload(), metadata }));
      await store.appendToStream(stream, events, { expectedStreamVersion: at === 0 ? 'STREAM_DOES_NOT_EXIST' : BigInt(at) });
    },
  };
};
