import { describe, expect, test } from '@jest/globals';
import { Gather } from '../gather.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A gatherer whose groups end when they are told to. */
const scene = (apart: (batch: readonly string[]) => Promise<void> = async () => undefined) => {
  const groups: { readonly batches: string[]; readonly end: (went: boolean) => void }[] = [];
  const alone: string[] = [];
  const gather = new Gather<string>({
    together: (batches) => new Promise((end) => groups.push({ batches: batches.map((b) => b.join('')), end })),
    apart: async (batch) => {
      alone.push(batch.join(''));
      await apart(batch);
    },
  });
  return { gather, groups, alone, seen: () => groups.map((g) => g.batches.join(' ')) };
};

describe('batches of several places', () => {
  test('one goes at once, a second beside it, and what comes meanwhile goes together', async () => {
    const { gather, groups, seen } = scene();
    const all = ['a', 'bb', 'c', 'd'].map((b) => gather.submit([...b]));
    expect(seen()).toEqual(['a', 'bb']);
    groups[0]!.end(true);
    await all[0];
    expect(seen()).toEqual(['a', 'bb', 'c d']);
    for (const { end } of groups) end(true);
    await Promise.all(all);
  });

  test('groups that take long hold nobody up, and their ends are counted once', async () => {
    const { gather, groups, seen } = scene();
    const all = ['a', 'b', 'c', 'd'].map((one) => gather.submit([one]));
    expect(seen()).toEqual(['a', 'b']);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(seen()).toEqual(['a', 'b', 'c d']); // beside the two that have not ended
    for (const { end } of groups) end(true);
    await Promise.all(all);
    const later = ['e', 'f', 'g'].map((one) => gather.submit([one]));
    expect(seen().slice(3)).toEqual(['e', 'f']); // two at a time, as before
    for (let i = 3; i < groups.length; i++) {
      groups[i]!.end(true);
      await settled();
    }
    await Promise.all(later);
  });

  test('a group that fails goes apart, each batch with an end of its own, and holds nobody up', async () => {
    const { gather, groups, alone, seen } = scene((batch) => (batch[0] === 'x' ? Promise.reject(new Error('poison')) : Promise.resolve()));
    const [a, b, x, y] = ['a', 'b', 'x', 'y'].map((one) => gather.submit([one]));
    groups[0]!.end(true);
    await a;
    expect(seen()).toEqual(['a', 'b', 'x y']);
    const later = gather.submit(['z']);
    groups[2]!.end(false);
    await expect(x).rejects.toThrow('poison');
    await y;
    expect(alone).toEqual(['x', 'y']);
    await settled();
    expect(seen().at(-1)).toBe('z');
    groups[1]!.end(true);
    groups[3]!.end(true);
    await Promise.all([b, later]);
  });

  test('no group has more than five hundred, but a batch that has more by itself', async () => {
    const { gather, groups } = scene();
    const many = (n: number): string[] => Array.from({ length: n }, () => 'e');
    const all = [1, 1, 300, 200, 1, 900, 1].map((n) => gather.submit(many(n)));
    for (let i = 0; i < groups.length; i++) {
      groups[i]!.end(true);
      await settled();
    }
    await Promise.all(all);
    expect(groups.map((g) => g.batches.map((b) => b.length))).toEqual([[1], [1], [300, 200], [1], [900], [1]]);
  });
});
