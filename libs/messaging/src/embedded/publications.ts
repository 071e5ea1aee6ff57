import pg from 'pg';
import type { CloudEvent } from '../bus.ts';

/** A message with its place in the bus, and as it is written there. */
export type Placed = { readonly topic: string; readonly partition: number; readonly event: CloudEvent; readonly text: string };
/** Writes them in one statement, over this connection. */
type Write = (placed: readonly Placed[], pool: pg.Pool) => Promise<void>;
type Waiting = {
  readonly placed: readonly Placed[];
  readonly write: Write;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
};

/** With one, all waits for the statement that is under way; with more, there is less to go together. */
const LANES = 2;
/** Of a statement, in messages. A single publication may have more. */
const MOST = 500;
/** So long after a group has failed each goes by itself: what is wrong with one is not to fail the others again and again. */
const APART_MS = 5_000;

/**
 * What the buses of a process publish while others do goes together as the next statement: one commit, and each partition's row locked once.
 * Where that fails each of them is told: who published has to find out which bus it is before it publishes again (see relay/publisher.ts).
 * It has connections of its own: a service whose handlers have all of its own holds up no other's events.
 */
export class Publications {
  readonly #waiting: Waiting[] = [];
  #running = 0;
  #apartUntil = 0;
  readonly #pool: pg.Pool;

  constructor(connectionString: string) {
    this.#pool = new pg.Pool({ connectionString, max: LANES, application_name: 'chrysalis-bus-publish' });
    this.#pool.on('error', () => undefined); // the next statement tells
  }

  /** Whoever publishes has ended before. */
  close(): Promise<void> {
    return this.#pool.end();
  }

  /** In the order of this call, for who waits for one before the next. */
  submit(placed: readonly Placed[], write: Write): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ placed, write, done, failed });
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#running < LANES && this.#waiting.length > 0) {
      this.#running++;
      void this.#run(this.#take());
    }
  }

  #take(): readonly Waiting[] {
    let n = 1;
    const most = performance.now() < this.#apartUntil ? 1 : this.#waiting.length;
    for (let size = this.#waiting[0]!.placed.length; n < most; n++) {
      size += this.#waiting[n]!.placed.length;
      if (size > MOST) break;
    }
    return this.#waiting.splice(0, n);
  }

  /** Never rejects. */
  async #run(group: readonly Waiting[]): Promise<void> {
    try {
      await group[0]!.write(
        group.flatMap((w) => w.placed),
        this.#pool,
      );
      for (const { done } of group) done();
    } catch (error) {
      if (group.length > 1) this.#apartUntil = performance.now() + APART_MS;
      for (const { failed } of group) failed(error);
    }
    this.#running--;
    this.#pump();
  }
}
