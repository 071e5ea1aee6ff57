type Due = { readonly at: number; readonly order: number; readonly work: () => void };

/** Virtual time: what is due next happens next, what is due at the same time in the order it was planned in. */
export class Schedule {
  readonly #heap: Due[] = [];
  #order = 0;
  #said = { now: Number.NaN, iso: '' };
  constructor(public now: number) {}

  /** Now, as messages say it; often asked for at the same time. */
  get iso(): string {
    if (this.#said.now !== this.now) this.#said = { now: this.now, iso: new Date(this.now).toISOString() };
    return this.#said.iso;
  }

  after(ms: number, work: () => void): void {
    const heap = this.#heap;
    heap.push({ at: this.now + ms, order: this.#order++, work });
    for (let i = heap.length - 1; i > 0;) {
      const parent = (i - 1) >> 1;
      if (!before(heap[i]!, heap[parent]!)) break;
      [heap[i], heap[parent]] = [heap[parent]!, heap[i]!];
      i = parent;
    }
  }

  /** False when nothing is left to happen. */
  next(): boolean {
    const [first] = this.#heap;
    if (!first) return false;
    const last = this.#heap.pop()!;
    if (this.#heap.length > 0) this.#sink(last);
    this.now = Math.max(this.now, first.at);
    first.work();
    return true;
  }

  #sink(item: Due): void {
    const heap = this.#heap;
    heap[0] = item;
    for (let i = 0; ;) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      if (least === i) return;
      [heap[i], heap[least]] = [heap[least]!, heap[i]!];
      i = least;
    }
  }
}

const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
