import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { forgetLongGone } from './remember.ts';
import { newVmState, type TargetMove, type VmState } from './vm-state.ts';
import { VmStates } from './vm-states.ts';

const DAY = 24 * 3_600_000;
const t0 = Date.parse('2026-11-23T09:00:00.000Z');
const never: TargetMove = {
  side: 'target',
  moveId: 'mov-1',
  newEpoch: 2,
  peerToken: 'h1.x',
  deadlineAt: '2026-11-23T09:00:00.000Z',
  phase: 'never',
};

describe('what is remembered of VMs that left', () => {
  let dir: string;
  let states: VmStates;
  const put = (vmId: string, more: Partial<VmState> = {}) => states.update(vmId, () => ({ ...newVmState(vmId, 'acme', 1), ...more }));
  const known = (): string[] => states.all().map((s) => s.vmId).sort(); // prettier-ignore
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'chrysalis-remember-'));
    states = await VmStates.open(dir);
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  test('goes a week after it was last asked for; who is here, or promised something, is kept', async () => {
    await put('vm-gone');
    await put('vm-here', { role: 'runner' });
    await put('vm-fenced', { role: 'fenced' });
    await put('vm-promised', { move: never });
    await forgetLongGone(states, t0);
    await forgetLongGone(states, t0 + 7 * DAY);
    expect(known()).toEqual(['vm-fenced', 'vm-gone', 'vm-here', 'vm-promised']);
    await forgetLongGone(states, t0 + 7 * DAY + 1);
    expect(known()).toEqual(['vm-fenced', 'vm-here', 'vm-promised']);
    expect(existsSync(join(dir, 'vm-gone.json'))).toBe(false);
    expect((await VmStates.open(dir)).get('vm-gone')).toBeUndefined();
    await put('vm-gone'); // it comes again
    expect((await VmStates.open(dir)).get('vm-gone')).toBeDefined();
  });

  test('never takes what came at the same moment', async () => {
    await put('vm-1', { left: new Date(t0).toISOString() });
    const came = states.update('vm-1', (s) => ({ ...s!, role: 'runner' }));
    await forgetLongGone(states, t0 + 30 * DAY);
    await came;
    expect((await VmStates.open(dir)).get('vm-1')?.role).toBe('runner');
    await put('vm-2', { left: new Date(t0).toISOString() });
    const forgetting = forgetLongGone(states, t0 + 30 * DAY);
    const after = states.update('vm-2', (s) => s ?? newVmState('vm-2', 'acme', 5));
    await Promise.all([forgetting, after]);
    expect((await VmStates.open(dir)).get('vm-2')).toEqual(states.get('vm-2'));
    expect(states.get('vm-2')).toBeDefined();
  });
});
