import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceConfig } from '@chrysalis/service-kit';
import { root, type ServiceName } from './platform.ts';

export type ServiceProcess = {
  pid(): number | undefined;
  /** Resolves when the process says that it is ready; rejects when it ends before. */
  ready(): Promise<void>;
  /** SIGKILL; it is started anew. Resolves when the process is gone. */
  kill(): Promise<void>;
  stop(): Promise<void>;
};
const BACKOFF_MS = { first: 100, most: 5000 };

type Supervised = {
  readonly name: ServiceName;
  readonly config: ServiceConfig;
  readonly environment: Readonly<Record<string, string>>;
};

/** Keeps one service running: it ends with us (its IPC channel closes), and is started anew when it ends by itself. */
export const superviseService = (o: Supervised): ServiceProcess => {
  let child: ChildProcess | undefined;
  let stopping = false;
  let backoff = BACKOFF_MS.first;
  let everReady = false;
  const ready = Promise.withResolvers<void>();
  ready.promise.catch(() => undefined);

  const start = (): void => {
    const startedAt = Date.now();
    child = spawnService(o);
    child.on('message', (m: { type?: string }) => {
      if (m.type !== 'ready') return;
      everReady = true;
      ready.resolve();
    });
    child.once('exit', (code, signal) => {
      child = undefined;
      if (stopping) return;
      if (!everReady) return ready.reject(new Error(`${o.name} ended before it was ready (${code ?? signal})`));
      if (Date.now() - startedAt > 10_000) backoff = BACKOFF_MS.first;
      void sleep(backoff).then(() => !stopping && start());
      backoff = Math.min(backoff * 2, BACKOFF_MS.most);
    });
  };
  start();

  return {
    pid: () => child?.pid,
    ready: () => ready.promise,
    kill: async () => {
      const victim = child;
      if (!victim) return;
      victim.kill('SIGKILL');
      await gone(victim);
    },
    stop: async () => {
      stopping = true;
      const c = child;
      if (!c) return;
      c.kill('SIGTERM');
      const killer = setTimeout(() => c.kill('SIGKILL'), 8000);
      await gone(c);
      clearTimeout(killer);
    },
  };
};

const spawnService = ({ name, config, environment }: Supervised): ChildProcess =>
  spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--import',
      path.join(root, 'tools/node/register.mjs'),
      path.join(root, `apps/${name}/src/main.ts`),
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...process.env, ...environment, CHRYSALIS_CONFIG: JSON.stringify(config) },
    },
  );

const gone = (c: ChildProcess): Promise<unknown> =>
  new Promise((resolve) => (c.exitCode !== null || c.signalCode !== null ? resolve(undefined) : c.once('exit', resolve)));
