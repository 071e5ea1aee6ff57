import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { ServiceConfig } from '@chrysalis/service-kit';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** The workflow service as a process of its own, to be killed; `failpoints` is the file that says where it fails. */
export const forkService = (config: ServiceConfig, failpoints: string): ChildProcess =>
  fork(path('../main.ts'), {
    execPath: path('../../../../node_modules/node/bin/node'),
    execArgv: ['--import', path('../../../../tools/node/register.mjs')],
    env: { ...process.env, CHRYSALIS_CONFIG: JSON.stringify(config), CHRYSALIS_FAILPOINTS: failpoints },
    stdio: 'ignore',
  });
