import { build, type Histogram } from 'hdr-histogram-js';

/**
 * Starts `work` at a fixed rate whatever becomes of what was started before, and waits for all of it: a slow answer does not slow the
 * questions (coordinated omission). `work` gets its number and the moment it should have started at, in ms.
 */
export const openLoop = async (perSecond: number, ms: number, work: (n: number, intended: number) => Promise<void>): Promise<number> => {
  const total = Math.round((perSecond * ms) / 1_000);
  const running: Promise<void>[] = [];
  const start = performance.now();
  for (let n = 0; n < total;) {
    for (const due = Math.min(total, Math.floor(((performance.now() - start) * perSecond) / 1_000) + 1); n < due; n++)
      running.push(work(n, start + (n * 1_000) / perSecond));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(running);
  return total;
};

/** Milliseconds, kept in microseconds. */
export class Latencies {
  readonly #histogram: Histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 60_000_000,
    numberOfSignificantValueDigits: 3,
  });

  record(ms: number): void {
    this.#histogram.recordValue(Math.max(1, Math.round(ms * 1_000)));
  }

  /** In Rally's shape. */
  summary(): { min: number; median: number; p90: number; p95: number; p99: number; max: number; average: number; count: number } {
    const h = this.#histogram;
    const at = (percentile: number): number => h.getValueAtPercentile(percentile) / 1_000;
    return {
      min: h.minNonZeroValue / 1_000,
      median: at(50),
      p90: at(90),
      p95: at(95),
      p99: at(99),
      max: h.maxValue / 1_000,
      average: h.mean / 1_000,
      count: h.totalCount,
    };
  }

  p99(): number {
    return this.summary().p99;
  }
}
