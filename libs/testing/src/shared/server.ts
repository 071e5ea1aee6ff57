/**
 * Holds one server (PostgreSQL, Kafka) for the test processes of a run or, Kafka, of this checkout. Started by the first who needs
 * it, see client.ts. Each user keeps a connection to our socket; when the last one is gone for `graceMs`, however it ended, the
 * server is stopped and we end. Should two of us start at the same moment, the second finds the socket taken and ends; should both
 * get through, each serves who reached it. Nothing is written down, so nothing can be stale.
 */
import { createServer, connect, type Server, type Socket } from 'node:net';
import { rmSync } from 'node:fs';
import { path as modulePath } from './kinds.ts';

const [kind, socketPath] = process.argv.slice(2) as [string, string];
const graceMs = 3_000;
const firstUserMs = 20_000;

type Started = { readonly info: unknown; stop(): Promise<void> };

const listen = (path: string): Promise<Server> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });

const alive = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(path, () => resolve(true));
    probe.once('error', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });

const takeSocket = async (): Promise<Server | undefined> => {
  try {
    return await listen(socketPath);
  } catch {
    if (await alive(socketPath)) return undefined;
    rmSync(socketPath, { force: true });
    return listen(socketPath).catch(() => undefined);
  }
};

const serve = async (server: Server): Promise<void> => {
  const users = new Set<Socket>();
  const { start } = (await import(modulePath(kind))) as { start(): Promise<Started> };
  const started = start().then(
    (s) => ({ ok: true as const, ...s }),
    (error: Error) => ({ ok: false as const, error: error.message, stop: async () => undefined }),
  );
  let ending: NodeJS.Timeout | undefined;
  const end = async (): Promise<void> => {
    server.close();
    rmSync(socketPath, { force: true });
    await (await started).stop();
    process.exit(0);
  };
  const endAfter = (ms: number): void => {
    clearTimeout(ending);
    ending = setTimeout(() => void end(), ms);
  };
  server.on('connection', async (user) => {
    clearTimeout(ending);
    users.add(user);
    user.on('error', () => undefined);
    user.on('close', () => {
      users.delete(user);
      if (users.size === 0) endAfter(graceMs);
    });
    const { stop: _, ...answer } = await started;
    user.write(`${JSON.stringify(answer)}\n`);
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void end());
  endAfter(firstUserMs);
  const result = await started;
  if (!result.ok) endAfter(graceMs); // tell who waits, then let the next one try anew
};

const server = await takeSocket();
if (server) await serve(server);
