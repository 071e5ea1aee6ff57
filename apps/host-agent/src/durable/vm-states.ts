import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, readIfThere, writeDurably } from './files.ts';
import { VmState } from './vm-state.ts';

/** The state of every VM of this host: in memory, and on disk before anything is done because of it. One writer a VM at a time. */
export class VmStates {
  readonly #states = new Map<string, VmState>();
  readonly #writing = new Map<string, Promise<unknown>>();

  private constructor(private readonly directory: string) {}

  static async open(directory: string): Promise<VmStates> {
    await makeDirectory(directory);
    const states = new VmStates(directory);
    for (const file of await readdir(directory)) {
      if (!file.endsWith('.json')) continue; // a `.next` that a crash left behind
      const state = VmState.parse(JSON.parse((await readIfThere(join(directory, file)))!));
      states.#states.set(state.vmId, state);
    }
    return states;
  }

  get(vmId: string): VmState | undefined {
    return this.#states.get(vmId);
  }

  all(): readonly VmState[] {
    return [...this.#states.values()];
  }

  /** Reads, changes, writes and syncs as one step. Answers the new state only when it is on disk; `undefined` from `change` keeps the old. */
  update(vmId: string, change: (state: VmState | undefined) => VmState | undefined): Promise<VmState | undefined> {
    const turn = (this.#writing.get(vmId) ?? Promise.resolve()).then(async () => {
      const before = this.#states.get(vmId);
      const after = change(before);
      if (after === undefined || after === before) return before;
      await writeDurably(join(this.directory, `${vmId}.json`), JSON.stringify(after));
      this.#states.set(vmId, after);
      return after;
    });
    this.#writing.set(
      vmId,
      turn.catch(() => undefined),
    );
    return turn;
  }
}
