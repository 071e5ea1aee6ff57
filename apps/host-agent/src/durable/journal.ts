import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { taskKey, TaskReport } from '@chrysalis/contracts';
import { Mutex } from 'async-mutex';
import { makeDirectory, readIfThere, writeDurably } from './files.ts';

type Line = { readonly report: TaskReport } | { readonly acknowledged: string };

export class JournalClosed extends Error {}

/**
 * Results on disk, one line each, synced before they are sent and kept after their acknowledgement, so that a task that comes again
 * gets its first answer. The oldest acknowledged ones go when `keep` is passed. A write that failed (a full disk) leaves nothing: what it
 * wrote is cut off before the next one, and the file may be read at any time.
 */
export class Journal {
  readonly #reports = new Map<string, TaskReport>();
  readonly #unacknowledged = new Set<string>();
  #lines = 0;
  /** Bytes of whole lines. `torn`: there may be a part of one behind them. */
  #size = 0;
  #torn = false;
  /** A new file is in the old one's place, and a crash may still bring the old one back: nothing is added before that is over. */
  #unsettled = false;
  #compactAt: number;
  #file: FileHandle;
  readonly #turn = new Mutex();
  #closed = false;

  private constructor(
    private readonly path: string,
    private readonly keep: number,
    file: FileHandle,
  ) {
    this.#file = file;
    this.#compactAt = 4 * keep;
  }

  static async open(directory: string, keep = 5_000): Promise<Journal> {
    await makeDirectory(directory);
    const path = join(directory, 'reports.ndjson');
    const text = (await readIfThere(path)) ?? '';
    const journal = new Journal(path, keep, await open(path, 'a', 0o600));
    for (const line of text.split('\n')) journal.#replay(line);
    journal.#size = Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1));
    journal.#torn = !text.endsWith('\n');
    await journal.#compact().catch(() => undefined); // no room for a second file: the first one serves, less what is torn
    return journal;
  }

  /** A torn last line was never synced, so nothing was sent because of it. Versions of before wrote the next one behind it: that counts. */
  #replay(text: string): void {
    const line = parsed(text) ?? parsed(text.slice(Math.max(text.lastIndexOf('{"report":'), text.lastIndexOf('{"acknowledged":'), 0)));
    if (line === undefined) return;
    this.#lines++;
    if ('acknowledged' in line) this.#unacknowledged.delete(line.acknowledged);
    else this.#remember(line.report);
  }

  #remember(report: TaskReport): void {
    const key = taskKey(report);
    this.#reports.set(key, report);
    this.#unacknowledged.add(key);
  }

  get(key: string): TaskReport | undefined {
    return this.#reports.get(key);
  }

  /** What is kept, of how many tasks. */
  get size(): number {
    return this.#reports.size;
  }

  /** In the order they were made. */
  unacknowledged(): readonly TaskReport[] {
    return [...this.#unacknowledged].map((key) => this.#reports.get(key)!);
  }

  /** The first report of a key wins; answers what is kept, which is on disk then. Rejects where it can't be written: nothing is kept. */
  async add(report: TaskReport): Promise<TaskReport> {
    return this.#turn.runExclusive(async () => {
      const kept = this.#reports.get(taskKey(report));
      if (kept) return kept;
      await this.#append({ report });
      this.#remember(report);
      return report;
    });
  }

  async acknowledge(key: string): Promise<void> {
    return this.#turn.runExclusive(async () => {
      if (!this.#unacknowledged.has(key)) return;
      this.#unacknowledged.delete(key);
      await this.#append({ acknowledged: key }, false); // lost in a crash: sent again, and acknowledged again
      if (this.#lines > this.#compactAt) await this.#compact();
    });
  }

  async close(): Promise<void> {
    await this.#turn.runExclusive(async () => {
      this.#closed = true;
      await this.#file.close();
    });
  }

  async #append(line: Line, sync = true): Promise<void> {
    if (this.#closed) throw new JournalClosed('the journal is closed');
    const text = `${JSON.stringify(line)}\n`;
    if (this.#unsettled) await this.#compact();
    if (this.#torn) await this.#file.truncate(this.#size);
    this.#torn = true;
    await this.#file.appendFile(text);
    // A sync that failed may not fail again, with the bytes gone all the same: they are cut off, and written anew by who tries again.
    if (sync) await this.#file.datasync();
    this.#torn = false;
    this.#size += Buffer.byteLength(text);
    this.#lines++;
  }

  /** The old file serves until the new one is there, and goes on serving where there is no room for a new one. */
  async #compact(): Promise<void> {
    this.#compactAt = this.#lines + this.keep;
    const kept = new Map(this.#reports);
    for (const key of this.#reports.keys()) {
      if (kept.size <= this.keep) break;
      if (!this.#unacknowledged.has(key)) kept.delete(key);
    }
    const lines = [...kept].flatMap(([key, report]): Line[] =>
      this.#unacknowledged.has(key) ? [{ report }] : [{ report }, { acknowledged: key }],
    );
    const text = lines.map((l) => `${JSON.stringify(l)}\n`).join('');
    const wasUnsettled = this.#unsettled;
    this.#unsettled = true; // also where the lines below cannot tell
    const failed = await writeDurably(this.path, text).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const there = await open(this.path, 'a', 0o600);
    const replaced = (await there.stat()).ino !== (await this.#file.stat()).ino;
    await (replaced ? this.#file : there).close();
    if (replaced) [this.#file, this.#lines, this.#size, this.#torn] = [there, lines.length, Buffer.byteLength(text), false];
    this.#unsettled = failed !== undefined && (replaced || wasUnsettled);
    if (failed) throw failed.error;
    this.#compactAt = 4 * this.keep;
    for (const key of this.#reports.keys()) if (!kept.has(key)) this.#reports.delete(key);
  }
}

const parsed = (text: string): Line | undefined => {
  try {
    const line = JSON.parse(text) as Partial<Record<'report' | 'acknowledged', unknown>>;
    if (typeof line.acknowledged === 'string') return { acknowledged: line.acknowledged };
    const report = TaskReport.safeParse(line.report);
    return report.success ? { report: report.data } : undefined;
  } catch {
    return undefined;
  }
};
