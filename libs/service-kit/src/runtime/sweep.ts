import { Counter } from 'prom-client';
import type { ServiceContext } from '../context.ts';

const EVERY_MS = 600_000;
const NAME = 'chrysalis_forgotten_rows_total';

/** So long an answer is kept for whoever asks again with its `Idempotency-Key`; then the key is as good as new. */
const KEPT_HOURS = 24;
export const ANSWERS_KEPT = `${KEPT_HOURS} hours`;
export const ANSWERS_KEPT_MS = KEPT_HOURS * 3_600_000;

/**
 * Rows that are of no use after some time are deleted, at the start and every ten minutes; how many is in the metrics. Any number of
 * instances may do it. Its end is awaited when the service stops.
 */
export const sweep = (service: ServiceContext, what: string, forget: () => Promise<number>): (() => Promise<void>) => {
  const { metrics, log } = service;
  const forgotten = (metrics.getSingleMetric(NAME) ??
    new Counter({
      name: NAME,
      help: 'Rows deleted after their time, by what they were',
      labelNames: ['what'],
      registers: [metrics],
    })) as Counter<'what'>;
  const once = async (): Promise<void> => {
    try {
      forgotten.inc({ what }, await forget());
    } catch (err) {
      log.warn({ err, what }, 'what is over could not be deleted; it will be');
    }
  };
  let running = once();
  const timer = setInterval(() => (running = running.then(once)), EVERY_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await running;
  };
};
