import { describe, expect, test } from '@jest/globals';
import { VmSelection } from '@chrysalis/contracts';
import fc from 'fast-check';
import { selected } from './select.ts';
import { vm } from './test/fixtures.ts';

const of = (vmId: string, labels?: Record<string, string>, change: Parameters<typeof vm>[0] = {}) =>
  vm({ vmId, name: vmId, ...(labels ? { labels } : {}), ...change });
const fleet = [
  of('db', { team: 'data', tier: '1' }),
  of('web-2', { team: 'web', tier: '2' }),
  of('web-1', { team: 'web', tier: '1' }),
  of('old'),
];
const ids = (select: VmSelection): readonly string[] | string => {
  const found = selected(fleet, select);
  return found.ok ? found.vmIds : `${found.fault.vmId ?? ''} ${found.fault.message}`;
};

describe('VMs that are found', () => {
  test('by labels, of which all must hold; in the order of their ids', () => {
    expect(ids({ labels: { team: 'web' } })).toEqual(['web-1', 'web-2']);
    expect(ids({ labels: { team: 'web', tier: '1' } })).toEqual(['web-1']);
    expect(ids({ labels: { team: 'nobody' } })).toEqual([]);
  });
  test('by an expression over what is known of them, alone or beside labels', () => {
    expect(ids({ filter: 'vm.type == "small@1" && vm.host == "h1" && vm.vcpus < 2 && vm.memoryMiB == 512' })).toHaveLength(4);
    expect(ids({ labels: { team: 'web' }, filter: 'vm.labels.tier == "2"' })).toEqual(['web-2']);
    expect(ids({ filter: '"team" in vm.labels && vm.labels.team == "data"' })).toEqual(['db']);
    expect(ids({ filter: 'vm.name.startsWith("web") && vm.state == "running"' })).toEqual(['web-1', 'web-2']);
  });
  test('one that has no answer for a VM selects nothing, and names it', () => {
    expect(ids({ filter: 'vm.labels.team == "web"' })).toMatch(/^old of old: /);
    expect(ids({ filter: 'vm.vcpus' })).toMatch(/^db of db: the condition gave/);
  });
  test('one that is none, or that nobody could bound, is refused before any VM is looked at', () => {
    for (const filter of [
      'vm.name ==',
      'params.x == 1',
      '1',
      'vm.name.matches("(a+)+$")',
      'vm.labels.all(k, vm.labels.all(l, true))',
      'true'.padEnd(1100, ' '),
    ])
      expect(ids({ filter })).toMatch(/^ \S/);
    expect(VmSelection.safeParse({}).success).toBe(false);
    expect(VmSelection.safeParse({ labels: {} }).success).toBe(false);
  });
  test('whatever is typed, it ends with an answer and throws nothing', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80, unit: fc.constantFrom(...'vm.labels[]()"=!&|<>? 01team:in,{}+-*/all') }), (filter) => {
        expect(typeof selected(fleet, { filter }).ok).toBe('boolean');
      }),
      { numRuns: 300 },
    );
  });
});
