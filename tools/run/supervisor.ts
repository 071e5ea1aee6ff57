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

/** Keeps one service running: it ends with us (its IPC channel closes), and is started anew when it ends by itself. */
export const superviseService = (o: {
  name: ServiceName;
  config: ServiceConfig;
  environment: Readonly<Record<string, string>>;
}): ServiceProcess => {
  let child: ChildProcess | undefined;
  let stopping = false;
  let backoff = BACKOFF_MS.first;
  let isReady!: () => void;
  let isNot!: (e: Error) => void;
  let everReady = false;
  const ready = new Promise<void>((resolve, reject) => ((isReady = resolve), (isNot = reject)));
  ready.catch(() => undefined);

  const start = (): void => {
    const startedAt = Date.now();
    child = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        '--import',
        path.join(root, 'tools/node/register.mjs'),
        path.join(root, `apps/${o.name}/src/main.ts`),
      ],
      {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        env: { ...process.env, ...o.environment, CHRYSALIS_CONFIG: JSON.stringify(o.config) },
      },
    );
    child.on('message', (m: { type?: string }) => {
      if (m.type !== 'ready') return;
      everReady = true;
      isReady();
    });
    child.once('exit', (code, signal) => {
      child = undefined;
      if (stopping) return;
      if (!everReady) return isNot(new Error(`${o.name} ended before it was ready (${code ?? signal})`));
      if (Date.now() - startedAt > 10_000) backoff = BACKOFF_MS.first;
      void sleep(backoff).then(() => !stopping && start());
      backoff = Math.min(backoff * 2, BACKOFF_MS.most);
    });
  };
  start();

  const gone = (c: ChildProcess): Promise<unknown> =>
    new Promise((resolve) => (c.exitCode !== null || c.signalCode !== null ? resolve(undefined) : c.once('exit', resolve)));
  return {
    pid: () => child?.pid,
    ready: () => ready,
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
