import type { Logger } from 'pino';

/** One run at a time; a failure is logged, and the next run tries again. Its stop waits for the run under way. */
export const every = (ms: number, log: Pick<Logger, 'error'>, work: () => Promise<void>): (() => Promise<void>) => {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= work()
      .catch((err: unknown) => log.error({ err }, 'a periodic task failed'))
      .finally(() => (running = undefined));
  }, ms);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await running;
  };
};
