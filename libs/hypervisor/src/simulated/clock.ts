import { setTimeout as wait } from 'node:timers/promises';

/** Time as the simulation sees it, in milliseconds since 1970. */
export interface Clock {
  now(): number;
  sleep(ms: number): Promise<void>;
}

export const realClock: Clock = { now: () => Date.now(), sleep: (ms) => wait(ms) };

type Sleeper = { readonly at: number; readonly order: number; readonly wake: () => void };

/**
 * Virtual time: it stands still while anything can be done, and then jumps to the next sleeper. A day of a thousand VMs takes
 * seconds, and two runs of one seed are the same run.
 */
export class VirtualClock implements Clock {
  private time: number;
  private order = 0;
  private readonly sleepers: Sleeper[] = [];
  private scheduled = false;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.time = startMs;
  }

  now(): number {
    return this.time;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => {
      this.sleepers.push({ at: this.time + Math.max(0, ms), order: this.order++, wake });
      this.schedule();
    });
  }

  /** `setImmediate` runs after every promise that can go on has gone on. */
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.jump();
    });
  }

  private jump(): void {
    let next: Sleeper | undefined;
    for (const s of this.sleepers) if (!next || s.at < next.at || (s.at === next.at && s.order < next.order)) next = s;
    if (!next) return;
    this.sleepers.splice(this.sleepers.indexOf(next), 1);
    this.time = Math.max(this.time, next.at);
    next.wake();
    if (this.sleepers.length > 0) this.schedule();
  }
}
