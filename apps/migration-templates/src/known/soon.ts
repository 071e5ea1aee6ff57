import { setTimeout as sleep } from 'node:timers/promises';

/** What another service has just said may still be on its way: milliseconds to look again before it is called unknown. */
const PATIENCE_MS = 1_500;
const PAUSE_MS = 25;

/** Looks until something is found or patience ends; answers the last look. In a transaction only before its first write, so that it holds nobody back. */
export const soon = async <T>(look: () => Promise<T>, found: (value: T) => boolean): Promise<T> => {
  const end = Date.now() + PATIENCE_MS;
  let value = await look();
  while (!found(value) && Date.now() < end) {
    await sleep(PAUSE_MS);
    value = await look();
  }
  return value;
};
