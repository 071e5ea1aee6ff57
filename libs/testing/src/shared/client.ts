import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../../', import.meta.url));
/** The test run: its worker processes have the same parent. */
const run = `${typeof process.send === 'function' ? process.ppid : process.pid}`;

/**
 * PostgreSQL is shared within a run: a transaction left open by another run would hold back our readers and slots, which look at the
 * whole server. A Kafka costs ten times as much and knows no such thing: it is shared by all runs of this checkout.
 */
const scope = { postgres: run, kafka: '' };
const held = new Map<string, Promise<{ info: unknown; socket: Socket }>>();

/**
 * The server of this kind that test processes share, started if there is none; it lives at least until this process ends. The connection that says so
 * does not keep the process alive. `waitMs` covers a first start with downloads.
 */
export const sharedServer = async <Info>(kind: 'postgres' | 'kafka', waitMs = 60_000): Promise<Info> => {
  let holding = held.get(kind);
  if (!holding) {
    holding = hold(kind, waitMs);
    held.set(kind, holding);
    holding.catch(() => held.delete(kind));
  }
  return (await holding).info as Info;
};

const hold = async (kind: keyof typeof scope, waitMs: number): Promise<{ info: unknown; socket: Socket }> => {
  const id = createHash('sha256').update(`${root} ${process.getuid?.()} ${scope[kind]}`).digest('hex').slice(0, 12);
  const socketPath = path.join(tmpdir(), `chrysalis-test-${kind}-${id}.sock`);
  let started = 0;
  for (const deadline = Date.now() + waitMs; ;) {
    const answer = await ask(socketPath, deadline - Date.now());
    if (answer?.ok) {
      answer.socket.unref();
      return answer;
    }
    if (answer?.error !== undefined) throw new Error(answer.error);
    if (Date.now() > deadline) throw new Error(`no ${kind} for the tests within ${waitMs} ms`);
    // One start at a time and process; the margin is for Node and SWC on a busy machine.
    if (Date.now() - started > 5_000) {
      started = Date.now();
      launch(kind, socketPath);
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
};

const launch = (kind: string, socketPath: string): void => {
  const main = fileURLToPath(new URL('./server.ts', import.meta.url));
  const args = ['--import', path.join(root, 'tools/node/register.mjs'), main, kind, socketPath];
  const env = { ...process.env };
  delete env['NODE_OPTIONS'];
  delete env['JEST_WORKER_ID'];
  delete env['CHRYSALIS_LEASH']; // another run may use it when ours is no more
  spawn(process.execPath, args, { detached: true, stdio: 'ignore', cwd: root, env }).unref();
};

type Answer = { ok: true; info: unknown; socket: Socket; error?: undefined } | { ok: false; error?: string };

/** Undefined or without an error: nobody there, or gone before it answered. */
const ask = (socketPath: string, waitMs: number): Promise<Answer | undefined> =>
  new Promise((resolve) => {
    const socket = connect(socketPath);
    let text = '';
    const timer = setTimeout(() => socket.destroy(), Math.max(waitMs, 1));
    socket.on('error', () => resolve(undefined));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.includes('\n')) return;
      clearTimeout(timer);
      resolve({ ...(JSON.parse(text) as { ok: true; info: unknown }), socket });
    });
  });
