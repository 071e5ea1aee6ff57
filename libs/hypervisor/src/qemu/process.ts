import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { HypervisorError } from '../errors.ts';

/** A process for certain: a pid is used again, the pair of pid and start time (clock ticks since boot) is not. */
export type ProcessId = { readonly pid: number; readonly startTime: number };

const stat = (pid: number): { state: string; startTime: number } | undefined => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name is in brackets and may hold anything, also brackets.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0]!, startTime: Number(fields[19]) };
  } catch {
    return undefined;
  }
};

export const identify = (pid: number): ProcessId | undefined => {
  const s = stat(pid);
  return s && { pid, startTime: s.startTime };
};

export const isAlive = ({ pid, startTime }: ProcessId): boolean => {
  const s = stat(pid);
  return s !== undefined && s.startTime === startTime && s.state !== 'Z' && s.state !== 'X';
};

/** Detached: a QEMU outlives the host agent that started it. Its words go to a file, which outlives it in turn. */
export const spawnDetached = (argv: readonly string[], wordsPath: string): Promise<ProcessId> => {
  const words = openSync(wordsPath, 'a', 0o600);
  return new Promise<ProcessId>((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { detached: true, stdio: ['ignore', words, words], cwd: '/' });
    closeSync(words);
    child.once('error', (error) =>
      reject(
        new HypervisorError(
          'hypervisor.qemu_missing',
          `${argv[0]} does not start: ${error.message}. Debian: apt-get install qemu-system-x86`,
        ),
      ),
    );
    child.once('spawn', () => {
      child.unref();
      resolve(identify(child.pid!) ?? { pid: child.pid!, startTime: -1 });
    });
  });
};

/** Gone, not only told to go. False when it is still there at the deadline. */
export const waitGone = async (id: ProcessId, timeoutMs: number): Promise<boolean> => {
  const until = performance.now() + timeoutMs;
  for (let pause = 2; isAlive(id); pause = Math.min(20, pause * 2)) {
    if (performance.now() > until) return false;
    await sleep(pause);
  }
  return true;
};

export const kill = async (id: ProcessId, signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL', timeoutMs = 5_000): Promise<boolean> => {
  if (!isAlive(id)) return true;
  try {
    process.kill(id.pid, signal);
  } catch {
    // Went between the look and the signal.
  }
  return waitGone(id, timeoutMs);
};

/** The last 4 kB of what a QEMU said. */
export const lastWords = async (path: string): Promise<string> => {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return '';
  try {
    const { size } = await file.stat();
    const buffer = Buffer.alloc(Math.min(size, 4096));
    await file.read(buffer, 0, buffer.length, Math.max(0, size - buffer.length));
    return buffer.toString('utf8').trim();
  } finally {
    await file.close();
  }
};
