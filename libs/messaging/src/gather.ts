type Waiting<T> = { readonly batch: readonly T[]; readonly done: () => void; readonly failed: (error: unknown) => void };

export type GatherOptions<T> = {
  /** All or nothing, for batches of several places; false where it did not work, and nothing was done. */
  readonly together: (batches: readonly (readonly T[])[]) => Promise<boolean>;
  /** One batch by itself, for as long as that takes. */
  readonly apart: (batch: readonly T[]) => Promise<void>;
};

/** With one, what comes waits for the whole of what is under way; with more, there is less to go together. */
const LANES = 2;
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

  constructor(private readonly o: GatherOptions<T>) {}

  /** Resolves or rejects with what becomes of this batch. */
  submit(batch: readonly T[]): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ batch, done, failed });
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#running < LANES && this.#waiting.length > 0) {
      this.#running++;
      void this.#run(this.#take());
    }
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
    const went = await this.o.together(group.map((w) => w.batch)).catch(() => false);
    this.#running--;
    for (const { batch, done, failed } of group) {
      if (went) done();
      else this.o.apart(batch).then(done, failed);
    }
    this.#pump();
  }
}
