import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, readIfThere, writeDurably } from './files.ts';
import { VmState } from './vm-state.ts';

type Change = (state: VmState | undefined) => VmState | undefined;
type Asked = { readonly change: Change; readonly answer: PromiseWithResolvers<VmState | undefined> };
type Queue = { asked: Asked[]; noted: Change[]; writing: boolean };

/**
 * The state of every VM of this host: in memory, and on disk before anything is done because of it. One write a VM at a time; what is
 * asked for meanwhile goes together into the next.
 */
export class VmStates {
  readonly #states = new Map<string, VmState>();
  readonly #queues = new Map<string, Queue>();

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
  update(vmId: string, change: Change): Promise<VmState | undefined> {
    const queue = this.#queueOf(vmId);
    const answer = Promise.withResolvers<VmState | undefined>();
    queue.asked.push({ change, answer });
    if (!queue.writing) void this.#write(vmId, queue);
    return answer.promise;
  }

  /** For what may be lost in a crash: goes with the next update, before it, and costs no write of its own. */
  note(vmId: string, change: Change): void {
    this.#queueOf(vmId).noted.push(change);
  }

  #queueOf(vmId: string): Queue {
    const queue = this.#queues.get(vmId) ?? { asked: [], noted: [], writing: false };
    this.#queues.set(vmId, queue);
    return queue;
  }

  /** Never rejects. A change that throws is answered with that and changes nothing; the others of its group go on. */
  async #write(vmId: string, queue: Queue): Promise<void> {
    queue.writing = true;
    while (queue.asked.length > 0) {
      const [asked, noted] = [queue.asked.splice(0), queue.noted.splice(0)];
      const before = this.#states.get(vmId);
      let after = noted.reduce((state, change) => change(state) ?? state, before);
      const answers = asked.map(({ change, answer }) => {
        try {
          const seen = (after = change(after) ?? after);
          return () => answer.resolve(seen);
        } catch (error) {
          return () => answer.reject(error);
        }
      });
      try {
        if (after && after !== before) {
          await writeDurably(join(this.directory, `${vmId}.json`), JSON.stringify(after));
          this.#states.set(vmId, after);
        }
        for (const answer of answers) answer();
      } catch (error) {
        queue.noted.unshift(...noted);
        for (const { answer } of asked) answer.reject(error);
      }
    }
    queue.writing = false;
  }
}
