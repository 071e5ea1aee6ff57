import { fork, type ChildProcess } from 'node:child_process';
import { join, resolve } from 'node:path';
import type { ServiceConfig } from '@chrysalis/service-kit';

const src = resolve(import.meta.dirname, '..');
const register = resolve(src, '../../../tools/node/register.mjs');

export type ServiceProcess = {
  readonly child: ChildProcess;
  /** With what it ended. */
  readonly gone: Promise<NodeJS.Signals | null>;
  /** All that it has logged. */
  readonly said: () => string;
};
type Options = { readonly config: ServiceConfig; readonly failpoints: string; readonly main?: string; readonly log?: string };

/** The service as a process of its own, to be killed: resolves when it is up, and rejects where it ends before. */
export const serviceProcess = async ({ config, failpoints, main = 'main.ts', log = 'error' }: Options): Promise<ServiceProcess> => {
  const child = fork(join(src, main), {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', register],
    env: {
      ...process.env,
      CHRYSALIS_CONFIG: JSON.stringify(config),
      CHRYSALIS_FAILPOINTS: failpoints,
      CHRYSALIS_LOG: log,
      NODE_OPTIONS: '',
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let said = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text) => (said += String(text)));
  const gone = new Promise<NodeJS.Signals | null>((done) => child.once('exit', (_, signal) => done(signal)));
  const up = new Promise((done) => child.once('message', done));
  await Promise.race([up, gone.then(() => Promise.reject(new Error(`it ended before it was ready: ${said}`)))]);
  return { child, gone, said: () => said };
};
