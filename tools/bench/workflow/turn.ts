import { Latencies } from '../open-loop.ts';
import { serveAsChild, startChild } from './child.ts';

export const steps = 5;

/** Flows are begun for `ms`, `inFlight` at a time, and those under way are waited for: all that are counted are complete. */
export type Ask = { readonly inFlight: number; readonly ms: number };
export type Turn = { readonly flows: number; readonly ms: number; readonly p50: number; readonly p99: number; readonly cpuSeconds: number };

/** What each contender is to its own process: `flow` runs one workflow of five steps to its end. */
export type Contender = { readonly version: string; readonly flow: () => Promise<void>; readonly close: () => Promise<void> };

const take = async ({ flow }: Contender, { inFlight, ms }: Ask): Promise<Turn> => {
  const latencies = new Latencies();
  const cpu = process.cpuUsage();
  const began = performance.now();
  let flows = 0;
  const one = async (): Promise<void> => {
    while (performance.now() - began < ms) {
      const at = performance.now();
      await flow();
      latencies.record(performance.now() - at);
      flows++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  const elapsed = performance.now() - began;
  const { user, system } = process.cpuUsage(cpu);
  const { median: p50, p99 } = latencies.summary();
  return { flows, ms: elapsed, p50, p99, cpuSeconds: (user + system) / 1e6 };
};

/** The contender's side, in its own process. */
export const serve = (open: (config: Record<string, string>) => Promise<Contender>): Promise<void> =>
  serveAsChild(async (config) => {
    const contender = await open(config);
    return { ready: contender.version, answer: (ask: Ask) => take(contender, ask), close: contender.close };
  });

export type Peer = {
  readonly version: string;
  readonly turn: (ask: Ask) => Promise<Turn>;
  readonly kill: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** The other side. */
export const start = async (name: string, config: Record<string, string>): Promise<Peer> => {
  const { ready, ask, kill, close } = await startChild(name, config);
  return { version: ready as string, turn: (turn) => ask<Turn>(turn), kill, close };
};
