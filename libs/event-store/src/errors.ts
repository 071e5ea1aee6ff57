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

type DatabaseError = { code?: string; constraint?: string; severity?: string };

export const isVersionRace = (error: unknown): boolean =>
  (error as DatabaseError)?.code === '23505' && (error as DatabaseError).constraint === 'events_stream_version';

/** 40P01 deadlock (two appends over the same streams in opposite order), 40001 serialization failure: nothing was done, do it again. */
export const isTransient = (error: unknown): boolean => ['40P01', '40001'].includes((error as DatabaseError)?.code ?? '');

/**
 * Nothing was done, for certain: the server answered with an error and lives on, or the values were refused before they were sent. Not so
 * when the connection was lost (the commit may have happened), nor when the server ends it (severity FATAL).
 */
export const isUndone = (error: unknown): boolean => (error as DatabaseError)?.severity === 'ERROR' || error instanceof UnfitValues;

/** Values that cannot be sent, e.g. data that is no JSON. */
export class UnfitValues extends Error {}
