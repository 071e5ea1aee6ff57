import { join } from 'node:path';
import type { Logger as Log } from '@chrysalis/service-kit/log';
import { z } from 'zod';
import { makeDirectory, readIfThere, writeDurably } from '../durable/files.ts';

const File = z.record(z.string(), z.array(z.number().nonnegative()).max(64));
const KEPT = 32;
const KINDS = 256;
const SAVE_AFTER_MS = 1_000;

/** How long each kind of task took on this host, the last few times that it succeeded. Kept on disk; what a crash loses is measured again. */
export class History {
  readonly #took = new Map<string, number[]>();
  #saving: NodeJS.Timeout | undefined;

  private constructor(
    private readonly path: string,
    private readonly log: Log,
  ) {}

  static async open(directory: string, log: Log): Promise<History> {
    await makeDirectory(directory);
    const history = new History(join(directory, 'history.json'), log);
    const text = await readIfThere(history.path);
    const read = File.safeParse(text === undefined ? {} : parsed(text));
    if (!read.success) log.warn({ path: history.path }, 'the measured times could not be read, and begin anew');
    for (const [kind, took] of Object.entries(read.data ?? {})) history.#took.set(kind, took);
    return history;
  }

  add(kind: string, ms: number): void {
    if (!this.#took.has(kind) && this.#took.size >= KINDS) return;
    this.#took.set(kind, [...(this.#took.get(kind) ?? []), Math.round(ms)].slice(-KEPT));
    this.#saving ??= setTimeout(() => void this.save(), SAVE_AFTER_MS).unref();
  }

  /** The median in milliseconds; `undefined` where it never ran here. */
  usual(kind: string): number | undefined {
    const sorted = [...(this.#took.get(kind) ?? [])].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  async save(): Promise<void> {
    clearTimeout(this.#saving);
    this.#saving = undefined;
    await writeDurably(this.path, JSON.stringify(Object.fromEntries(this.#took))).catch((err: unknown) =>
      this.log.warn({ err }, 'the measured times could not be written'),
    );
  }
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};
