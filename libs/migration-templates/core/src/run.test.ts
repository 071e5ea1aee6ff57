import { describe, expect, test } from '@jest/globals';
import { Name, type RunResult } from '@chrysalis/contracts';
import { leftOf, madeTemplate, mayGoOn, parted, plan, stopped, templateFaults, unneeded } from './index.ts';
import { AT, guest, host, large, largeType, small, smallType, vm } from './test/fixtures.ts';

const input = { vmIds: ['vm-1', 'vm-2', 'vm-1'], concurrency: 1 };
const undone = (vmId: string): RunResult => ({ vmId, state: 'undone' });

describe('a run', () => {
  test('has left what nothing became of, each VM once', () => {
    expect(leftOf(input, {})).toEqual(['vm-1', 'vm-2']);
    expect(leftOf(input, { 'vm-1': undone('vm-1') })).toEqual(['vm-2']);
    expect(mayGoOn({ ...input, maxFailures: 2 }, { 'vm-1': undone('vm-1') })).toBe(true);
    expect(mayGoOn({ ...input, maxFailures: 1 }, { 'vm-1': undone('vm-1') })).toBe(false);
    expect(stopped(input, { 'vm-1': undone('vm-1') }, 'migration.cancelled', 'why')).toEqual({
      'vm-1': undone('vm-1'),
      'vm-2': { vmId: 'vm-2', state: 'not-begun', cause: { code: 'migration.cancelled', message: 'why' } },
    });
  });

  test('makes templates that have no faults, under names that are names', () => {
    const types = (ref: string) => ({ 'small@1': small, 'large@1': large })[ref];
    for (const [to, move, name] of [
      [smallType, false, 'relocate-small-1'],
      [largeType, false, 'become-small-1-large-1'],
      [largeType, true, 'become-small-1-large-1-moved'],
    ] as const) {
      const made = madeTemplate(smallType, to, move);
      expect([made.name, templateFaults(made.spec, types), made.spec.migration.length]).toEqual([
        name,
        [],
        name.includes('become') && !move ? 0 : 1,
      ]);
    }
    const long = (version: number) => ({ ...smallType, ref: { name: 'x'.repeat(63), version } });
    const names = [madeTemplate(long(1), long(1), false).name, madeTemplate(long(2), long(2), false).name];
    expect(names.every((n) => Name.safeParse(n).success && n.length <= 63)).toBe(true);
    expect(names[0]).not.toBe(names[1]);
  });

  test('passes over a VM that is where or what it should be', () => {
    const relocate = madeTemplate(smallType, smallType, false).spec;
    expect(unneeded({ ...input, notHost: 'h1' }, vm(), relocate)).toBe(false);
    expect(unneeded({ ...input, notHost: 'h2' }, vm(), relocate)).toBe(true);
    expect(unneeded(input, vm(), relocate)).toBe(false);
    expect(unneeded(input, vm({ type: largeType.ref }), madeTemplate(smallType, largeType, false).spec)).toBe(true);
  });

  test('parts a plan: who is blocked is named, and no VM goes to the host that is left', () => {
    const template = {
      ref: { name: 'relocate-small-1', version: 1 },
      spec: madeTemplate(smallType, smallType, false).spec,
      retired: false,
    };
    const made = plan({
      planId: 'plan-1',
      at: AT,
      template,
      target: smallType,
      vms: [vm(), vm({ vmId: 'vm-2', moveId: 'mov-9' })],
      hosts: [host('h1'), host('h2', { free: { vcpu: 99, memoryMiB: 99_999, diskMiB: 999_999 } }), host('h3')],
      guests: new Map([['vm-1', guest('vm-1')]]),
      notHost: 'h2',
    });
    const { ready, blocked } = parted(made);
    expect(ready?.moves.map((m) => [m.vmId, m.toHost])).toEqual([['vm-1', 'h3']]);
    expect(ready?.basis.vmVersions).toEqual({ 'vm-1': 3 });
    expect(blocked['vm-2']).toMatchObject({ state: 'blocked', blockers: [{ code: 'vm.in_move' }] });
  });
});
