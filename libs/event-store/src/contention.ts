import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { ConcurrentAppend, isTransient } from './errors.ts';

/** A turn is waited for so long; then it is as if the race were lost again. */
const turnMs = 2_000;

/**
 * Others did the same at the same time, and nothing was done: no fault of what was asked for, and of no interest to who asked. A lost race
 * for a stream, a deadlock, a serialization failure, or a turn that did not come (55P03).
 */
export const isContention = (error: unknown): boolean =>
  error instanceof ConcurrentAppend || isTransient(error) || (error as { code?: string } | null)?.code === '55P03';

/** Any time below a bound that doubles from 10 to 250 ms: those who met once do not meet again. `chance` is in [0, 1). */
export const turnPause = (attempt: number, chance: number): number => chance * Math.min(10 * 2 ** (attempt - 1), 250);

/**
 * The turns of one transaction that is tried again. Who has lost a race for a stream lines up for it before the next try: of those who
 * lost, one goes at a time. Who comes for the first time does not line up, which would cost everyone a round trip for what is rare.
 */
export class Turns {
  #streams: readonly string[] = [];

  constructor(private readonly schema: string) {}

  /** After a failure: remembers what was contended, and waits a little. */
  async lost(error: unknown, attempt: number): Promise<void> {
    if (error instanceof ConcurrentAppend) this.#streams = [...new Set([...this.#streams, ...error.streams])].sort();
    await sleep(turnPause(attempt, Math.random()));
  }

  /** First thing in the transaction, whose end gives the turn up. Always in one order, so that two in line never wait for each other. */
  async take(tx: pg.PoolClient): Promise<void> {
    if (this.#streams.length === 0) return;
    await tx.query(`set local lock_timeout = ${turnMs}`);
    const names = this.#streams.map((stream) => `turn ${this.schema} ${stream}`);
    await tx.query('select pg_advisory_xact_lock(hashtextextended(name, 0)) from unnest($1::text[]) as name', [names]);
    await tx.query('set local lock_timeout to default');
  }
}
