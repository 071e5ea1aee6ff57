import type { EventEmitter } from 'node:events';

type Ending = EventEmitter & { exit(code: number): void };
const LATE_MS = 5_000;

/**
 * Ends the process once, whatever says so and however often. A terminal's Ctrl-C comes as a signal and as the end of the parent, and perhaps
 * again: two ends at once would write the same files, and a signal that nobody listens to any more would cut the first one off.
 */
export const endOnce = (of: Ending, stop: () => Promise<void>, hasParent: boolean): void => {
  let ending = false;
  const end = (): void => {
    if (ending) return;
    ending = true;
    setTimeout(() => of.exit(1), LATE_MS).unref();
    stop().then(
      () => of.exit(0),
      () => of.exit(1),
    );
  };
  for (const signal of ['SIGINT', 'SIGTERM']) of.on(signal, end);
  if (hasParent) of.once('disconnect', end);
};
