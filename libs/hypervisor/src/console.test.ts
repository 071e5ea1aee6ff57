import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CONSOLE_BYTES, ConsoleRing } from './console.ts';

const pieces = fc.array(fc.uint8Array({ maxLength: 90_000 }), { maxLength: 12 });

describe('the log of a console', () => {
  test('keeps the last 64 KiB of whatever comes, at the place where it came', () => {
    fc.assert(
      fc.property(pieces, (given) => {
        const ring = new ConsoleRing();
        for (const piece of given) ring.add(Buffer.from(piece));
        const all = Buffer.concat(given);
        expect(ring.end).toBe(all.length);
        expect(ring.kept.equals(all.subarray(Math.max(0, all.length - CONSOLE_BYTES)))).toBe(true);
        expect(ring.end - ring.start).toBeLessThanOrEqual(2 * CONSOLE_BYTES);
        const { from, bytes } = ring.read(0, all.length);
        expect(from).toBe(ring.start);
        expect(bytes.equals(all.subarray(ring.start))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('what came before it stands before it, and no place changes', () => {
    const ring = new ConsoleRing();
    ring.add(Buffer.from('here'));
    ring.prepend(Buffer.from('there '));
    expect(ring.kept.toString()).toBe('there here');
    expect(ring.end).toBe(4);
    expect(ring.read(2, 100)).toEqual({ from: 2, bytes: Buffer.from('re') });
    ring.prepend(Buffer.alloc(2 * CONSOLE_BYTES, 'x'));
    expect(ring.kept).toHaveLength(CONSOLE_BYTES);
    expect(ring.kept.subarray(-5).toString()).toBe(' here');
  });

  test('who listens is told of more, and of the end', () => {
    const ring = new ConsoleRing();
    const told: boolean[] = [];
    const stop = ring.listen((over) => void told.push(over));
    ring.add(Buffer.from('a'));
    stop();
    ring.listen((over) => void told.push(over));
    ring.over();
    ring.add(Buffer.from('b'));
    expect(told).toEqual([false, true]);
  });
});
