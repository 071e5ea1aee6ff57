/**
 * The control plane's clock as seen from here: what windows, awards and deadlines are counted by, whatever this host's own says. A frame
 * that lay somewhere shows an older time, so the sample with the greatest offset is the best one.
 */
export class ControlClock {
  #offset: number | undefined;
  #stale = false;

  /** `local`: milliseconds since 1970 by this machine, monotonic. */
  constructor(private readonly local: () => number) {}

  /** `at`: the control plane's time when it sent the frame that came just now. */
  read(at: string | undefined): void {
    if (at === undefined) return;
    const offset = Date.parse(at) - this.local();
    this.#offset = this.#stale ? offset : Math.max(this.#offset ?? offset, offset);
    this.#stale = false;
  }

  /** Before a connection is made anew: clocks drift, and an old sample is not better for being great. Until there is a new one it serves. */
  forget(): void {
    this.#stale = true;
  }

  /** How far this machine's clock is ahead; `undefined` before the first sample. */
  get aheadMs(): number | undefined {
    return this.#offset === undefined ? undefined : -this.#offset;
  }

  now(): number {
    return this.local() + (this.#offset ?? 0);
  }
}
