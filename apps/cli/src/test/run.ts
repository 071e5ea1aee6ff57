import { execFile } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../../../..');
/** What Node is to be given to run the command line as it is in the tree. */
export const entry = [
  '--disable-warning=ExperimentalWarning',
  '--import',
  path.join(root, 'tools/node/register.mjs'),
  path.join(import.meta.dirname, '../main.ts'),
];

export type Ran = { code: number; stdout: string; stderr: string };

export const environmentOf = (server: string, token: string): NodeJS.ProcessEnv => ({
  ...process.env,
  CHRYSALIS_SERVER: server,
  CHRYSALIS_TOKEN: token,
  NODE_OPTIONS: '',
});

/** `chrysalis` in a process of its own, to its end; whatever the end is. */
export const run = (args: readonly string[], options: { env: NodeJS.ProcessEnv; cwd?: string }): Promise<Ran> =>
  new Promise((resolve) =>
    execFile(process.execPath, [...entry, ...args], options, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    ),
  );
