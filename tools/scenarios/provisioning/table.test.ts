import { expect, test } from '@jest/globals';
import { holds, settles } from '../claim.ts';
import { claims } from './table.ts';

test('each claim has a name of its own, and the one that counts what is left is the last', () => {
  const names = claims.map((c) => c.name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.at(-1)).toMatch(/^all VMs are deleted/);
});

test('nothing holds that was not looked at, or was seen otherwise', () => {
  const expected = { state: 'running', boots: [1] };
  expect(holds({ expected, observed: { state: 'running', boots: [1] } })).toBe(true);
  expect(holds({ expected, observed: { state: 'running', boots: [1, 2] } })).toBe(false);
  expect(holds({ expected, observed: { state: 'running' } })).toBe(false);
  expect(holds({ expected, observed: expected })).toBe(false);
  expect(holds({ expected: {}, observed: {} })).toBe(false);
});

test('what comes late is waited for, and what never comes is told as it was seen', async () => {
  let looks = 0;
  const look = async () => ({ looks: ++looks });
  expect(await settles({ looks: 3 }, look, 5_000)).toEqual({ expected: { looks: 3 }, observed: { looks: 3 } });
  expect(await settles({ looks: 1 }, look, 0)).toEqual({ expected: { looks: 1 }, observed: { looks: 4 } });
});
