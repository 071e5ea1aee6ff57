import { describe, expect, test } from '@jest/globals';
import { until } from './until.ts';

describe('until', () => {
  test('answers what was found, once it is', async () => {
    const answers = [undefined, false, 'there'] as const;
    let asked = 0;
    expect(await until(async () => answers[asked++])).toBe('there');
    expect(asked).toBe(3);
  });

  test('gives up, and says what did not come', async () => {
    await expect(until(async () => 'never'.length === 0, 1)).rejects.toThrow(/did not come about in 1 ms: .*never/);
  });

  test('takes no number for an answer, nor null: nothing found would be found', async () => {
    // @ts-expect-error -- a count says nothing of what was waited for
    await expect(until(async () => [].length)).rejects.toThrow(/neither found nor not: 0/);
    // @ts-expect-error -- as pg types a count of rows
    await expect(until(async (): Promise<number | null> => null)).rejects.toThrow(/neither found nor not: null/);
  });
});
