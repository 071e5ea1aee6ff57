import { expect, test } from '@jest/globals';
import { standingOf } from './standing.ts';

const stopped = (failed: string) => standingOf({ workflowId: 'mov-1', state: 'stopped', missing: [failed, 'end-move'], failed: [failed] });

test('what stopped is done again; what only looked may also be gone on without', () => {
  expect(stopped('boot')!.next).toEqual(['chrysalis workflow retry-from mov-1 boot --reason "what kept it is mended"']);
  expect(stopped('verify-guest')!.next).toEqual([
    'chrysalis workflow retry-from mov-1 verify-guest --reason "what kept it is mended"',
    'chrysalis workflow skip mov-1 verify-guest --reason "it is as it should be"',
  ]);
});
