import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { StallDetector, type Stall } from './stall.ts';

const TICK = 200;
/** Passes of these sizes, sent at so many bytes a tick and seen at each tick, until a stall is said or all are sent. */
const run = (sizes: readonly number[], perTick: number, stallMs: number): { stall: Stall | undefined; pass: number } => {
  const detector = new StallDetector(stallMs);
  let [now, transferred] = [0, 0];
  for (const [i, size] of sizes.entries())
    for (let remaining = size; remaining > 0; remaining -= perTick) {
      const stall = detector.see({ remaining, transferred, pass: i + 1 }, (now += TICK));
      if (stall) return { stall, pass: i + 1 };
      transferred += Math.min(perTick, remaining);
    }
  return { stall: undefined, pass: sizes.length };
};

describe('stall detector', () => {
  test('passes that get smaller are progress, however long each takes', () => {
    const sizes = fc.tuple(
      fc.integer({ min: 1_000, max: 100_000 }),
      fc.integer({ min: 2, max: 12 }),
      fc.double({ min: 0.1, max: 0.9, noNaN: true }),
    );
    fc.assert(
      fc.property(sizes, ([first, passes, ratio]) => {
        const shrinking = Array.from({ length: passes }, (_, i) => first * ratio ** i);
        expect(run(shrinking, 100, 1_000).stall).toBeUndefined();
      }),
    );
  });

  test('passes that stay as large are none, and that is said some passes and the time of a stall later', () => {
    const { stall, pass } = run([10_000, ...Array<number>(500).fill(1_000)], 500, 10_000);
    expect(stall).toMatchObject({ why: 'diverging' });
    expect(stall!.ms).toBeLessThan(11_000);
    expect(pass).toBeLessThan(40);
  });

  test('nothing sent is a stall, before the first byte as well', () => {
    const detector = new StallDetector(1_000);
    expect(detector.see({ remaining: 9, transferred: 0, pass: 0 }, 0)).toBeUndefined();
    expect(detector.see({ remaining: 9, transferred: 0, pass: 0 }, 1_000)).toBeUndefined();
    expect(detector.see({ remaining: 9, transferred: 0, pass: 0 }, 1_001)).toEqual({ why: 'silent', ms: 1_001 });
  });

  test('without a limit it never says so', () => {
    expect(run([10_000, ...Array<number>(500).fill(1_000)], 500, undefined as unknown as number).stall).toBeUndefined();
  });
});
