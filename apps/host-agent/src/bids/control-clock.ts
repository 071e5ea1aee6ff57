/**
 * The control plane's clock as seen from here: what windows, awards and deadlines are counted by, whatever this host's own says. A frame
 * that lay somewhere shows an older time, so the sample with the greatest offset is the best one.
 */
export class ControlClock {
  #offset: number | undefined;

  /** `local`: milliseconds since 1970 by this machine, monotonic. */
  constructor(private readonly local: () => number) {}

  /** `at`: the control plane's time when it sent the frame that came just now. */
  read(at: string | undefined): void {
    if (at === undefined) return;
    const offset = Date.parse(at) - this.local();
    this.#offset = Math.max(this.#offset ?? offset, offset);
  }

  /** Before a connection is made anew: clocks drift, and an old sample is not better for being great. */
  forget(): void {
    this.#offset = undefined;
  }

  now(): number {
    return this.local() + (this.#offset ?? 0);
  }
}
