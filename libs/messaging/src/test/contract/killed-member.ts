import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BusConfig } from '../../index.ts';
import { sleep, until } from '../support.ts';

const register = fileURLToPath(new URL('../../../../../tools/node/register.mjs', import.meta.url));
const member = fileURLToPath(new URL('../member.ts', import.meta.url));

/** Runs a member until it hangs in the middle of a batch, then kills it. Returns what it had been given, by key. */
export const runMember = async (options: {
  bus: BusConfig;
  group: string;
  topic: string;
  hangAt: number;
}): Promise<Record<string, number[]>> => {
  const { pool: _, ...bus } = options.bus as { pool?: unknown; kind: string };
  const args = ['--import', register, member, JSON.stringify({ ...options, bus })];
  const env = { ...process.env };
  delete env['NODE_OPTIONS'];
  const child = spawn(process.execPath, args, {
    cwd: path.resolve(path.dirname(register), '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
    env,
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  try {
    await until('the member hangs', () => {
      if (child.exitCode !== null) throw new Error(`the member ended by itself (${child.exitCode})`);
      return text.includes(` ${options.hangAt}\n`);
    });
    await sleep(200);
  } finally {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.exitCode === null && child.kill('SIGKILL')) await gone;
  }
  const given: Record<string, number[]> = {};
  for (const line of text.trim().split('\n')) {
    const [key, n] = line.split(' ') as [string, string];
    (given[key] ??= []).push(Number(n));
  }
  return given;
};
