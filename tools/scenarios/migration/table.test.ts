import { expect, test } from '@jest/globals';
import { claims } from './table.ts';

test('each claim has a name of its own', () => {
  const names = claims.map((c) => c.name);
  expect(new Set(names).size).toBe(names.length);
});
