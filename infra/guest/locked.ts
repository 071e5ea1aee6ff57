import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Does `work` while nobody else on this machine does it under the same lock file. A holder that dies lets go: the lock is the kernel's. */
export const locked = async <T>(file: string, work: () => Promise<T>): Promise<T> => {
  const holder = spawn('flock', [file, 'sh', '-c', 'echo; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(holder, 'exit');
  await Promise.race([
    once(holder.stdout, 'data'),
    ended.then(([code]) => {
      throw new Error(`flock ${file} ended with ${code}`);
    }),
  ]);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
};
