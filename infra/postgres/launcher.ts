import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../process/free-port.ts';
import { supervise, unref, type Supervised } from '../process/supervise.ts';
import { account, binaries, type Account, type Binaries } from './binaries.ts';

export type PostgresOptions = {
  /** Kept between runs; without it a temporary one that goes with the server. Nobody else may use it at the same time. */
  readonly dataDir?: string;
  /** A free one unless told. */
  readonly port?: number;
  readonly settings?: Readonly<Record<string, string | number>>;
};

export type Postgres = {
  readonly connectionString: string;
  /** The same over a socket of this machine, where there can be one: a statement takes half the time, and a third less CPU on both sides. */
  readonly localString: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  readonly dataDir: string;
  /** Fast shutdown; removes a temporary data directory. */
  stop(): Promise<void>;
  /** Lets this process end without stopping the server first: it stops by itself then. */
  unref(): void;
};

/**
 * Durable (fsync and synchronous_commit stay on), with room for logical replication, sized for a small machine: the control plane
 * of a few thousand VMs has a working set of some megabytes.
 */
const settings = {
  listen_addresses: '127.0.0.1',
  max_connections: 300,
  shared_buffers: '64MB',
  wal_level: 'logical',
  max_wal_senders: 40,
  max_replication_slots: 40,
  max_slot_wal_keep_size: '1GB', // a relay that is away for long loses its slot, not our disk; it then falls back to reading the log
  max_wal_size: '512MB',
  wal_buffers: '16MB', // the default follows shared_buffers down to 2 MB, which 16 writers of ten events fill
  commit_delay: 200, // with 8 others about to commit, 0.2 ms of waiting puts more of them into one fsync of 0.5 ms
  commit_siblings: 8,
  wal_sender_timeout: '10s',
  // A transaction left open holds back every reader of every log, and every new slot: it is ended instead.
  idle_in_transaction_session_timeout: '30s',
  tcp_keepalives_idle: 5,
  tcp_keepalives_interval: 2,
  tcp_keepalives_count: 3,
  jit: 'off', // short statements: compiling costs more than it saves
  autovacuum_naptime: '20s',
  log_min_messages: 'warning',
  log_checkpoints: 'off',
  max_worker_processes: 4,
  max_logical_replication_workers: 0,
  max_parallel_workers_per_gather: 0,
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** Starts a real PostgreSQL from the project's dependencies, as root too; 0.3 s, and 0.7 s more the first time in a data directory. */
export const startPostgres = async (o: PostgresOptions = {}): Promise<Postgres> => {
  const as = account();
  const programs = await binaries(as);
  const dataDir = o.dataDir ?? mkdtempSync(path.join(tmpdir(), 'chrysalis-postgres-'));
  prepareFolder(dataDir, as);
  const password = await initialise(dataDir, programs, as);
  for (let attempt = 1; ; attempt++) {
    const port = o.port ?? (await freePort());
    try {
      return await run({
        dataDir,
        port,
        password,
        programs,
        as,
        temporary: o.dataDir === undefined,
        settings: { ...settings, ...o.settings },
      });
    } catch (error) {
      // Somebody took the free port in between.
      if (attempt === 5 || o.port !== undefined || !String(error).includes('Address already in use')) throw error;
    }
  }
};

const prepareFolder = (folder: string, as: Account | undefined): void => {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (as) chownSync(folder, as.uid, as.gid);
};

const passwordFile = (dataDir: string): string => path.join(dataDir, 'chrysalis.password');

/** Makes the cluster unless there is one, and returns its password. A half-made one (killed in between) is made anew. */
const initialise = async (dataDir: string, { initdb }: Binaries, as: Account | undefined): Promise<string> => {
  const file = passwordFile(dataDir);
  if (existsSync(file)) return readFileSync(file, 'utf8');
  if (existsSync(path.join(dataDir, 'PG_VERSION'))) rmSync(dataDir, { recursive: true });
  prepareFolder(dataDir, as);
  const password = randomBytes(18).toString('base64url');
  const input = mkdtempSync(path.join(tmpdir(), 'chrysalis-initdb-'));
  prepareFolder(input, as);
  const secret = path.join(input, 'password');
  writeFileSync(secret, password, { mode: 0o600 });
  if (as) chownSync(secret, as.uid, as.gid);
  const args = [
    `--pgdata=${dataDir}`,
    '--username=postgres',
    '--auth=scram-sha-256',
    `--pwfile=${secret}`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ];
  try {
    await promisify(execFile)(initdb, args, { ...identity(as), cwd: tmpdir() });
  } finally {
    rmSync(input, { recursive: true, force: true });
  }
  writeFileSync(file, password, { mode: 0o600 });
  return password;
};

const identity = (as: Account | undefined): { uid?: number; gid?: number; env: NodeJS.ProcessEnv } => ({
  ...(as ? { uid: as.uid, gid: as.gid } : {}),
  env: { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' },
});

type Run = {
  dataDir: string;
  port: number;
  password: string;
  programs: Binaries;
  as: Account | undefined;
  temporary: boolean;
  settings: Record<string, string | number>;
};

const run = async (r: Run): Promise<Postgres> => {
  const folder = socketFolder(r.dataDir);
  const flags = Object.entries({ unix_socket_directories: folder, ...r.settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const output: string[] = [];
  const server = await supervise({
    command: r.programs.postgres,
    args: ['-D', r.dataDir, '-p', String(r.port), ...flags],
    signal: 'INT',
    cwd: r.dataDir,
    ...(r.temporary ? { remove: r.dataDir } : {}),
    ...identity(r.as),
    onOutput: (text) => {
      output.push(text);
      if (output.length > 50) output.shift();
    },
  });
  const connectionString = `postgres://postgres:${r.password}@127.0.0.1:${r.port}/postgres`;
  await ready(server, connectionString, output);
  return {
    connectionString,
    localString: folder === '' ? connectionString : `${connectionString}?host=${encodeURIComponent(folder)}`,
    host: '127.0.0.1',
    port: r.port,
    pid: server.pid,
    version: r.programs.version,
    dataDir: r.dataDir,
    stop: () => server.stop(),
    unref: () => unref(server),
  };
};

/** Nobody but its own account, and root, enters the data directory. The system takes 107 characters, and the setting is a list. */
const socketFolder = (dataDir: string): string => (/^[\w./-]{1,80}$/.test(dataDir) ? dataDir : '');

/** Up when it answers: recovery after a crash may take its time, so the limit is long. */
const ready = async (server: Supervised, connectionString: string, output: readonly string[]): Promise<void> => {
  let ended = false;
  void server.exited.then(() => (ended = true));
  for (const deadline = Date.now() + 60_000; Date.now() < deadline;) {
    if (ended) throw new Error(`PostgreSQL did not start:\n${output.join('')}`);
    const client = new pg.Client({ connectionString });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await client.end().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  await server.stop();
  throw new Error(`PostgreSQL did not answer within 60 s:\n${output.join('')}`);
};
