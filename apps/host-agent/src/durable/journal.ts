import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { taskKey, TaskReport } from '@chrysalis/contracts';
import { makeDirectory, readIfThere, writeDurably } from './files.ts';

type Line = { readonly report: TaskReport } | { readonly acknowledged: string };

/**
 * Results on disk, one line each, synced before they are sent and kept after their acknowledgement, so that a task that comes again
 * gets its first answer. The oldest acknowledged ones go when `keep` is passed.
 */
export class Journal {
  readonly #reports = new Map<string, TaskReport>();
  readonly #unacknowledged = new Set<string>();
  #lines = 0;
  #file!: FileHandle;
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly path: string,
    private readonly keep: number,
  ) {}

  static async open(directory: string, keep = 5_000): Promise<Journal> {
    await makeDirectory(directory);
    const journal = new Journal(join(directory, 'reports.ndjson'), keep);
    for (const line of ((await readIfThere(journal.path)) ?? '').split('\n')) journal.#replay(line);
    await journal.#compact();
    return journal;
  }

  /** A torn last line was never synced, so nothing was sent because of it. */
  #replay(text: string): void {
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      return;
    }
    if ('acknowledged' in line) this.#unacknowledged.delete(line.acknowledged);
    else this.#remember(TaskReport.parse(line.report));
  }

  #remember(report: TaskReport): void {
    const key = taskKey(report);
    this.#reports.set(key, report);
    this.#unacknowledged.add(key);
  }

  get(key: string): TaskReport | undefined {
    return this.#reports.get(key);
  }

  /** In the order they were made. */
  unacknowledged(): readonly TaskReport[] {
    return [...this.#unacknowledged].map((key) => this.#reports.get(key)!);
  }

  /** The first report of a key wins; answers what is kept, which is on disk then. */
  async add(report: TaskReport): Promise<TaskReport> {
    return this.#inTurn(async () => {
      const kept = this.#reports.get(taskKey(report));
      if (kept) return kept;
      await this.#append({ report });
      this.#remember(report);
      return report;
    });
  }

  async acknowledge(key: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#unacknowledged.has(key)) return;
      this.#unacknowledged.delete(key);
      await this.#append({ acknowledged: key }, false); // lost in a crash: sent again, and acknowledged again
      if (this.#lines > 4 * this.keep) await this.#compact();
    });
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#file.close());
  }

  async #append(line: Line, sync = true): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify(line)}\n`);
    this.#lines++;
    if (sync) await this.#file.datasync();
  }

  async #compact(): Promise<void> {
    for (const key of this.#reports.keys()) {
      if (this.#reports.size <= this.keep) break;
      if (!this.#unacknowledged.has(key)) this.#reports.delete(key);
    }
    const lines = [...this.#reports].flatMap(([key, report]): Line[] =>
      this.#unacknowledged.has(key) ? [{ report }] : [{ report }, { acknowledged: key }],
    );
    await this.#file?.close();
    await writeDurably(this.path, lines.map((l) => `${JSON.stringify(l)}\n`).join(''));
    this.#lines = lines.length;
    this.#file = await open(this.path, 'a', 0o600);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    return turn;
  }
}
