import type { EventStore } from '@chrysalis/event-store';
import type { Logger } from 'pino';
import type { DatabaseClock } from './clock.ts';
import type { Engine } from './engine.ts';
import * as sql from '../sql/due.ts';

export type DueOptions = {
  readonly store: EventStore;
  readonly engine: Pick<Engine, 'submit' | 'after'>;
  readonly clock: DatabaseClock;
  readonly log: Logger;
};

/** Looked for at least this often: for timers that another instance set and did not live to see. Milliseconds. */
const LONGEST_SLEEP_MS = 500;
const BATCH = 200;
/** After a start reports that wait on the bus are heard first: who reported in time shall not fail because nobody listened. */
const GRACE_MS = 1_000;

/**
 * The durable timers: sleeps until the soonest is due, takes what is due and has the engine look at it. Any number of instances may run
 * it. A timer set by this process wakes it in time; one set by another is that one's to wait for, and anybody's after a crash.
 */
export class DueLoop {
  readonly #take;
  readonly #soonest;
  #wakeAt = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #begun = false;
  #stopped = false;
  #done: Promise<void> | undefined;

  constructor(private readonly o: DueOptions) {
    this.#take = sql.takeDue(o.store.schema);
    this.#soonest = sql.soonest(o.store.schema);
    o.engine.after.on('timer', (at) => this.#noted(at));
  }

  /** Reads the clock, which nothing may be decided without. */
  async start(): Promise<void> {
    await this.#look();
    this.#done = this.#loop();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#done;
  }

  /** A timer was set for then, in milliseconds since 1970. */
  #noted(at: number): void {
    if (at >= this.#wakeAt) return;
    this.#wakeAt = at;
    if (this.#begun) this.#wake?.();
  }

  async #loop(): Promise<void> {
    // What was executed in a process that is gone waits for nobody's report.
    await this.#round({ recover: true }).catch((err: unknown) => this.o.log.warn({ err }, 'timers could not be looked at'));
    await this.#sleep(GRACE_MS);
    this.#begun = true;
    while (!this.#stopped) {
      try {
        const wait = Math.min(LONGEST_SLEEP_MS, this.#wakeAt - this.o.clock.now());
        if (wait > 0) await this.#sleep(wait);
        if (this.#stopped) return;
        if (this.o.clock.now() >= this.#wakeAt || wait >= LONGEST_SLEEP_MS) await this.#round();
      } catch (err) {
        this.o.log.warn({ err }, 'timers could not be looked at');
        await this.#sleep(LONGEST_SLEEP_MS);
      }
    }
  }

  async #round(how: { readonly recover?: true } = {}): Promise<void> {
    const taken = await this.o.store.pool.query<{ workflow_id: string }>(this.#take, [BATCH]);
    await Promise.all(taken.rows.map((row) => this.#tick(row.workflow_id, how)));
    await this.#look();
    if (taken.rows.length === BATCH) this.#wakeAt = 0;
  }

  async #tick(workflowId: string, how: { readonly recover?: true }): Promise<void> {
    try {
      await this.o.engine.submit({ workflowId, command: { type: 'tick' }, actor: 'service:workflow', ...how });
    } catch (err) {
      this.o.log.error({ err, workflowId }, 'a timer could not be handled; it will come due again');
    }
  }

  async #look(): Promise<void> {
    const { clock } = this.o;
    const before = clock.local();
    const { rows } = await this.o.store.pool.query<{ ms: number | null; now: number }>(this.#soonest);
    const { ms, now } = rows[0]!;
    clock.read(now, before, clock.local());
    this.#wakeAt = ms === null ? Number.POSITIVE_INFINITY : now + ms;
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        clearTimeout(this.#timer);
        this.#wake = undefined;
        resolve();
      };
      this.#timer = setTimeout(this.#wake, Math.ceil(ms));
    });
  }
}
