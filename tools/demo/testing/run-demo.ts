import { spawn } from 'node:child_process';
import path from 'node:path';
import { root } from '../../run/platform.ts';

export type Ended = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** The demo as a person would run it, to its end. */
export const runDemo = (args: readonly string[]): Promise<Ended> => {
  const register = path.join(root, 'tools/node/register.mjs');
  const argv = ['--disable-warning=ExperimentalWarning', '--import', register, path.join(root, 'tools/demo/main.ts'), ...args];
  const child = spawn(process.execPath, argv, { cwd: root, env: { ...process.env, CHRYSALIS_LOG: 'error' } });
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk: Buffer) => (out[name] += chunk.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, ...out })));
};
