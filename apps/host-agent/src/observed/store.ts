import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Id, Observed, Positive } from '@chrysalis/contracts';
import { z } from 'zod';
import { makeDirectory, readIfThere, removeDurably, writeDurably } from '../durable/files.ts';
import type { Known } from './known.ts';

const Kept = z.object({ vmId: Id, epoch: Positive, observed: Observed });

/** What was told of each VM, on disk, so that since when it is so, and how often it restarted, outlive the agent. */
export class ObservedStore {
  readonly #onDisk = new Map<string, Known>();

  private constructor(private readonly directory: string) {}

  static async open(directory: string): Promise<ObservedStore> {
    await makeDirectory(directory);
    const store = new ObservedStore(directory);
    for (const file of await readdir(directory)) {
      if (!file.endsWith('.json')) continue; // a `.next` that a crash left behind
      const kept = Kept.safeParse(parsed(await readIfThere(join(directory, file))));
      if (kept.success) store.#onDisk.set(kept.data.vmId, kept.data); // one that can't be read is looked at anew
    }
    return store;
  }

  all(): ReadonlyMap<string, Known> {
    return this.#onDisk;
  }

  async keep(vmId: string, { epoch, observed }: Known): Promise<void> {
    await writeDurably(this.#file(vmId), JSON.stringify({ vmId, epoch, observed } satisfies z.infer<typeof Kept>));
    this.#onDisk.set(vmId, { epoch, observed });
  }

  async forget(vmId: string): Promise<void> {
    if (!this.#onDisk.delete(vmId)) return;
    await removeDurably(this.#file(vmId));
  }

  #file(vmId: string): string {
    return join(this.directory, `${vmId}.json`);
  }
}

const parsed = (text: string | undefined): unknown => {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
};
