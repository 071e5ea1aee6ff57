import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import pg from 'pg';
import { startPostgres } from '../postgres/launcher.ts';

const query = async (connectionString: string, sql: string): Promise<unknown[]> => {
  const client = new pg.Client({ connectionString });
  await client.connect();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
};
const listens = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => resolve(false));
  });
const until = async (holds: () => Promise<boolean> | boolean): Promise<void> => {
  for (const deadline = Date.now() + 15_000; !(await holds());) {
    if (Date.now() > deadline) throw new Error('not within 15 s');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

test('a data directory is kept between runs; fsync is on and logical replication possible', async () => {
  const parent = mkdtempSync(path.join(tmpdir(), 'chrysalis-test-'));
  const dataDir = path.join(parent, 'data');
  chmodSync(parent, 0o755); // the server runs under another account when we are root
  try {
    const first = await startPostgres({ dataDir });
    await query(first.connectionString, 'create table kept as select 42 as answer');
    const settings = `select name, setting from pg_settings where name in ('fsync', 'wal_level', 'synchronous_commit') order by name`;
    expect(await query(first.connectionString, settings)).toEqual([
      { name: 'fsync', setting: 'on' },
      { name: 'synchronous_commit', setting: 'on' },
      { name: 'wal_level', setting: 'logical' },
    ]);
    await first.stop();
    expect(await listens(first.port)).toBe(false);
    const second = await startPostgres({ dataDir, port: first.port });
    expect(await query(second.connectionString, 'select answer from kept')).toEqual([{ answer: 42 }]);
    await second.stop();
    expect(existsSync(dataDir)).toBe(true);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});

test('whoever started it may be killed: the server ends by itself and leaves neither port nor files', async () => {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const script = `import { startPostgres } from './infra/postgres/launcher.ts';
    const { port, dataDir } = await startPostgres();
    console.log(JSON.stringify({ port, dataDir }));
    setInterval(() => {}, 1000);`;
  const env = { ...process.env };
  delete env['NODE_OPTIONS'];
  const args = ['--import', path.join(root, 'tools/node/register.mjs'), '--input-type=module', '-e', script];
  const parent = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env });
  const text = await new Promise<string>((resolve) => parent.stdout.once('data', (chunk: Buffer) => resolve(chunk.toString())));
  const { port, dataDir } = JSON.parse(text) as { port: number; dataDir: string };
  expect(await listens(port)).toBe(true);
  parent.kill('SIGKILL');
  await until(async () => !(await listens(port)));
  await until(() => !existsSync(dataDir));
});
