/** One request as its client saw it: when it ended (ms since 1970), how long it took (ms), whether it failed. */
export type Sample = readonly [endedAt: number, ms: number, failed: 0 | 1];

const worse = (a: Sample, b: Sample): Sample => (b[2] > a[2] || (b[2] === a[2] && b[1] > a[1]) ? b : a);

/** Keeps at most `most` samples: when full, of each two neighbours the worse stays, and from then on of each 2, 4, 8 … that come. */
export class Samples {
  #kept: Sample[] = [];
  #stride = 1;
  #inLast = 0;

  constructor(private readonly most = 8192) {}

  add(endedAt: number, ms: number, failed: boolean): void {
    const sample: Sample = [Math.round(endedAt * 10) / 10, Math.round(ms * 100) / 100, failed ? 1 : 0];
    if (this.#inLast < this.#stride && this.#kept.length > 0) {
      this.#kept.push(worse(this.#kept.pop()!, sample));
      this.#inLast += 1;
      return;
    }
    if (this.#kept.length >= this.most) this.#thin();
    this.#kept.push(sample);
    this.#inLast = 1;
  }

  /** In the order they came. */
  all(): readonly Sample[] {
    return this.#kept;
  }

  #thin(): void {
    this.#kept = this.#kept.flatMap((s, i, all) => (i % 2 === 1 ? [] : [all[i + 1] ? worse(s, all[i + 1]!) : s]));
    this.#stride *= 2;
  }
}
