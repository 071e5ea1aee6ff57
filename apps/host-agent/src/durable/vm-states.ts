import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, readIfThere, removeDurably, syncDirectory, writeDurably } from './files.ts';
import { VmState } from './vm-state.ts';

type Change = (state: VmState | undefined) => VmState | undefined;
type Asked = { readonly change: Change; readonly answer: PromiseWithResolvers<VmState | undefined> };
/** `synced`: the text that a crash leaves; undefined after a write that failed half-way: then either text may be left. */
type Queue = { asked: Asked[]; noted: Change[]; writing: boolean; synced: string | undefined };

/**
 * The state of every VM of this host: in memory, and on disk before anything is done because of it. One write a VM at a time; what is
 * asked for meanwhile goes together into the next. After a write that failed the file is read back, as it may be there all the same:
 * nobody goes on from what was, and the next to ask is answered only when the file is synced again, also where it changes nothing.
 */
export class VmStates {
  readonly #states = new Map<string, VmState>();
  readonly #queues = new Map<string, Queue>();

  private constructor(
    private readonly directory: string,
    private readonly writeFile: typeof writeDurably,
  ) {}

  static async open(directory: string, writeFile = writeDurably): Promise<VmStates> {
    await makeDirectory(directory);
    const states = new VmStates(directory, writeFile);
    for (const file of await readdir(directory)) {
      if (!file.endsWith('.json')) continue; // a `.next` that a crash left behind
      const text = (await readIfThere(join(directory, file)))!;
      const state = VmState.parse(JSON.parse(text));
      states.#states.set(state.vmId, state);
      states.#queueOf(state.vmId).synced = text;
    }
    await syncDirectory(directory); // an earlier life may have failed at just that
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

  /** Unless something was asked for meanwhile; what is asked for while the file goes begins from nothing. */
  async forget(vmId: string, when: (state: VmState) => boolean): Promise<void> {
    const queue = this.#queueOf(vmId);
    const state = this.#states.get(vmId);
    if (!state || queue.writing || queue.synced === undefined || !when(state)) return;
    queue.writing = true;
    queue.synced = undefined; // until it is known: a failure is read back before the next change
    try {
      await removeDurably(this.#path(vmId));
      this.#states.delete(vmId);
      [queue.synced, queue.noted] = ['', []];
    } finally {
      queue.writing = false;
      if (queue.asked.length > 0) void this.#write(vmId, queue);
      else if (queue.synced === '') this.#queues.delete(vmId);
    }
  }

  #queueOf(vmId: string): Queue {
    const queue = this.#queues.get(vmId) ?? { asked: [], noted: [], writing: false, synced: '' };
    this.#queues.set(vmId, queue);
    return queue;
  }

  /** Never rejects. A change that throws is answered with that and changes nothing; the others of its group go on. */
  async #write(vmId: string, queue: Queue): Promise<void> {
    queue.writing = true;
    while (queue.asked.length > 0) {
      const [asked, noted] = [queue.asked.splice(0), queue.noted.splice(0)];
      try {
        if (queue.synced === undefined) await this.#readBack(vmId);
        const before = this.#states.get(vmId);
        const noting = noted.reduce((state, change) => change(state) ?? state, before);
        const { after, answers } = changed(noting, asked);
        if (after && (after !== before || queue.synced === undefined)) await this.#put(vmId, after, queue);
        for (const answer of answers) answer();
      } catch (error) {
        queue.noted.unshift(...noted);
        for (const { answer } of asked) answer.reject(error);
      }
    }
    queue.writing = false;
  }

  async #put(vmId: string, state: VmState, queue: Queue): Promise<void> {
    const [text, before] = [JSON.stringify(state), queue.synced];
    queue.synced = undefined;
    try {
      await this.writeFile(this.#path(vmId), text);
    } catch (error) {
      const there = await this.#readBack(vmId).catch(() => undefined); // unread: read again before the next change
      if (there === before) queue.synced = before;
      throw error;
    }
    queue.synced = text;
    this.#states.set(vmId, state);
  }

  /** What is in the file goes for the state. No file is the text '': one that was never written. */
  async #readBack(vmId: string): Promise<string> {
    const text = (await readIfThere(this.#path(vmId))) ?? '';
    if (text) this.#states.set(vmId, VmState.parse(JSON.parse(text)));
    return text;
  }

  #path(vmId: string): string {
    return join(this.directory, `${vmId}.json`);
  }
}

const changed = (before: VmState | undefined, asked: readonly Asked[]): { after: VmState | undefined; answers: (() => void)[] } => {
  let after = before;
  const answers = asked.map(({ change, answer }) => {
    try {
      const seen = (after = change(after) ?? after);
      return () => answer.resolve(seen);
    } catch (error) {
      return () => answer.reject(error);
    }
  });
  return { after, answers };
};
