/** What a peer may send: `perSecond`, and `burst` at once. Beyond it frames are dropped, and beyond `patience` more the peer is at fault. */
export class Allowance {
  #left: number;
  #at: number | undefined;
  #dropped = 0;

  constructor(private readonly rules: { readonly perSecond: number; readonly burst: number; readonly patience: number }) {
    this.#left = rules.burst;
  }

  /** `now` in milliseconds of a monotonic clock. */
  take(now: number): 'taken' | 'dropped' | 'flooded' {
    const { perSecond, burst, patience } = this.rules;
    this.#left = Math.min(burst, this.#left + ((now - (this.#at ?? now)) * perSecond) / 1_000);
    this.#at = now;
    if (this.#left === burst) this.#dropped = 0;
    if (this.#left < 1) return ++this.#dropped > patience ? 'flooded' : 'dropped';
    this.#left -= 1;
    return 'taken';
  }
}
