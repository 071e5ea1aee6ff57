import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/** What another service has just said may still be on its way: milliseconds to look again before it is called unknown. */
const PATIENCE_MS = 1_500;
const PAUSE_MS = 25;

/**
 * Looks until something is found or patience ends; answers the last look. Each look takes a connection of the pool and gives it back: a
 * caller that waited within a transaction would hold its own meanwhile, and a few of them all there are.
 */
export const eventually = async <T>(pool: pg.Pool, look: (pool: pg.Pool) => Promise<T>, found: (value: T) => boolean): Promise<T> => {
  const end = Date.now() + PATIENCE_MS;
  let value = await look(pool);
  while (!found(value) && Date.now() < end) {
    await sleep(PAUSE_MS);
    value = await look(pool);
  }
  return value;
};
