/**
 * Another transaction appended to the same stream at the same time, and ours was in a caller's transaction, which PostgreSQL has
 * ended by that: roll back and do all of it again.
 */
export class ConcurrentAppend extends Error {
  readonly code = 'event_store.concurrent_append';
  constructor(readonly streams: readonly string[]) {
    super(`another transaction appended to ${streams.join(', ')}`);
    this.name = 'ConcurrentAppend';
  }
}

type DatabaseError = { code?: string; constraint?: string };

export const isVersionRace = (error: unknown): boolean =>
  (error as DatabaseError)?.code === '23505' && (error as DatabaseError).constraint === 'events_stream_version';

/** 40P01 deadlock (two appends over the same streams in opposite order), 40001 serialization failure: nothing was done, do it again. */
export const isTransient = (error: unknown): boolean => ['40P01', '40001'].includes((error as DatabaseError)?.code ?? '');
