import { sharedServer } from './shared/client.ts';

/** Parts of the suite that this run goes without, by name: `CHRYSALIS_SKIP=qemu,kafka`. */
export const skipped = (part: string): boolean =>
  (process.env['CHRYSALIS_SKIP'] ?? '')
    .split(',')
    .map((s) => s.trim())
    .includes(part);

/**
 * The Kafka that all suites share: started by the first that asks (4 s, and once per checkout the download of its jars), ended by
 * itself some seconds after the last test process. Where none can be had this rejects with how to get it. Suites must not assume
 * that it is empty: give topics and groups names of your own.
 */
export const sharedKafka = (): Promise<{ brokers: string[]; version: string; pid?: number }> => sharedServer('kafka', 300_000);
