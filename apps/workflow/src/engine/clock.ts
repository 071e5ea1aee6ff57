import { performance } from 'node:perf_hooks';

/**
 * PostgreSQL's clock, the same for every instance of the service: deadlines and tokens must not depend on which of them decides.
 * Between two readings it goes on by this machine's monotonic clock, so that nobody's setting of a wall clock shows; it never goes back.
 */
export class DatabaseClock {
  #offset: number | undefined;
  #last = 0;

  /** `database` was read between the local moments `before` and `after` (`local()`); the middle is off by half of that at most. */
  read(database: number, before: number, after: number): void {
    this.#offset = database - (before + after) / 2;
  }

  local(): number {
    return performance.now();
  }

  /** Milliseconds since 1970. */
  now(): number {
    if (this.#offset === undefined) throw new Error('the clock has not been read yet');
    this.#last = Math.max(this.#last, Math.floor(this.local() + this.#offset));
    return this.#last;
  }

  iso(): string {
    return new Date(this.now()).toISOString();
  }
}
