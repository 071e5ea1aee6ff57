import { expect, test } from '@jest/globals';
import { allTasks } from '@chrysalis/contracts';
import { reference, written } from './tasks.ts';

test('the reference of tasks has each, and is what the contracts say: `node tools/reference/tasks.ts` writes it anew', async () => {
  const text = await written();
  expect(Object.values(allTasks).filter(({ kind }) => !text.includes(`### \`${kind}\``))).toEqual([]);
  expect(text).toBe(await reference());
});
