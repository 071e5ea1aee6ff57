type Waiting<T> = { readonly batch: readonly T[]; readonly done: () => void; readonly failed: (error: unknown) => void };

export type GatherOptions<T> = {
  /** All or nothing, for batches of several places; false where it did not work, and nothing was done. */
  readonly together: (batches: readonly (readonly T[])[]) => Promise<boolean>;
  /** One batch by itself, for as long as that takes. */
  readonly apart: (batch: readonly T[]) => Promise<void>;
  /** A group begins no sooner than this after the one before it; 0 unless told. See `Pace`. */
  readonly paceMs?: number;
};

/** With one, what comes waits for the whole of what is under way; with more, there is less to go together. What has a pace can wait. */
const LANES = 2;
/**
 * What comes seldom goes at once, whatever the pace. Where something comes all the time, a group costs about the same whatever is in it, and
 * may wait a moment. Views less than the read models: who has read there how something ended asks a service for what follows from it.
 */
export const Pace = { view: 10, readModels: 20, tasks: 4 } as const;
/** A group that takes longer holds nobody up: a task may take minutes, and what is of other partitions goes on beside it. */
const SLOW_MS = 100;
/** Of a group, in things. A single batch may have more. */
const MOST = 500;

/**
 * Batches that come while others are at work go together: twelve partitions that have two events each cost one transaction, not twelve.
 * One that comes alone waits for nobody. Where a group fails, its batches go apart from each other, as if they had never met, and out of
 * the way of the next group: what is wrong with one holds nobody up.
 */
export class Gather<T> {
  #waiting: Waiting<T>[] = [];
  #running = 0;
  #beganAt = -Infinity;
  #later: NodeJS.Timeout | undefined;

  readonly #lanes: number;

  constructor(private readonly o: GatherOptions<T>) {
    this.#lanes = o.paceMs === undefined ? LANES : 1;
  }

  /** Resolves or rejects with what becomes of this batch. */
  submit(batch: readonly T[]): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ batch, done, failed });
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#running < this.#lanes && this.#waiting.length > 0) {
      if (this.#isEarly()) return;
      this.#running++;
      this.#beganAt = performance.now();
      void this.#run(this.#take());
    }
  }

  /** Then it is looked at again when it is time. */
  #isEarly(): boolean {
    const { paceMs = 0 } = this.o;
    const wait = paceMs === 0 ? 0 : this.#beganAt + paceMs - performance.now();
    if (wait <= 0) return false;
    this.#later ??= setTimeout(() => {
      this.#later = undefined;
      this.#pump();
    }, Math.ceil(wait));
    return true;
  }

  #take(): readonly Waiting<T>[] {
    let n = 1;
    for (let size = this.#waiting[0]!.batch.length; n < this.#waiting.length; n++) {
      size += this.#waiting[n]!.batch.length;
      if (size > MOST) break;
    }
    return this.#waiting.splice(0, n);
  }

  /** Never rejects. */
  async #run(group: readonly Waiting<T>[]): Promise<void> {
    let holds = true;
    const letGo = (): void => {
      if (!holds) return;
      holds = false;
      this.#running--;
      this.#pump();
    };
    const slow = setTimeout(letGo, SLOW_MS);
    const went = await this.o.together(group.map((w) => w.batch)).catch(() => false);
    clearTimeout(slow);
    for (const { batch, done, failed } of group) {
      if (went) done();
      else this.o.apart(batch).then(done, failed);
    }
    letGo();
  }
}
