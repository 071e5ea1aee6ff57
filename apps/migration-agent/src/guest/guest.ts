import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The guest as files: /sys, /proc and /etc under a root, so that a test can bring a tree of its own. */
export class Guest {
  readonly root: string;
  /** Serial number of the agent's own disk: not the guest's hardware. */
  readonly packageSerial: string | undefined;
  constructor(o: { root?: string; packageSerial?: string } = {}) {
    this.root = o.root ?? '/';
    this.packageSerial = o.packageSerial;
  }

  path(p: string): string {
    return join(this.root, p);
  }
  /**
   * Trimmed text, or undefined where there is no such file or it cannot be read. Reads are done on the spot: sysfs and proc answer from
   * memory, and under TCG a turn through the thread pool costs 2 ms a file, 50 files a time.
   */
  async read(p: string): Promise<string | undefined> {
    return quietly(() => readFileSync(this.path(p), 'utf8').trim());
  }
  /** One write(2), as sysfs wants it; the error code, or undefined when it was taken. */
  async write(p: string, text: string): Promise<string | undefined> {
    return writeFile(this.path(p), text, { flag: 'r+' }).then(
      () => undefined,
      (e: NodeJS.ErrnoException) => e.code ?? String(e),
    );
  }
  async list(p: string): Promise<string[]> {
    return quietly(() => readdirSync(this.path(p)))?.sort(byNumber) ?? [];
  }
  async exists(p: string): Promise<boolean> {
    return existsSync(this.path(p));
  }
}

const quietly = <T>(read: () => T): T | undefined => {
  try {
    return read();
  } catch {
    return undefined;
  }
};
/** `cpu2` before `cpu10`. */
const byNumber = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : 1);

/** `0-2,5` -> [0, 1, 2, 5], as the kernel writes sets. */
export const parseList = (text: string): number[] =>
  text
    .split(',')
    .filter(Boolean)
    .flatMap((part) => {
      const [from, to] = part.split('-').map(Number);
      return Array.from({ length: Math.max(0, Math.min((to ?? from!) - from!, 65_535) + 1) }, (_, i) => from! + i);
    });

export const poll = async <T>(probe: () => Promise<T | undefined>, o: { deadlineMs: number; everyMs?: number }): Promise<T | undefined> => {
  const until = performance.now() + o.deadlineMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined || performance.now() > until) return found;
    await new Promise((r) => setTimeout(r, o.everyMs ?? 10));
  }
};
