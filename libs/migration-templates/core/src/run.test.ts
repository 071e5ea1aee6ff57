import { describe, expect, test } from '@jest/globals';
import { Name, type RunResult } from '@chrysalis/contracts';
import { inverseOf, madeTemplate, mayGoOn, outputOf, parted, plan, templateFaults, unneeded, type RunResults } from './index.ts';
import { AT, guest, host, large, largeType, small, smallType, vm } from './test/fixtures.ts';

const input = { vmIds: ['vm-1', 'vm-2', 'vm-1'], concurrency: 1 };
const undone = (vmId: string): RunResult => ({ vmId, state: 'undone' });

describe('a run', () => {
  test('stops after some moves that did not succeed, and one more for each ten that did; or as it was told', () => {
    expect(mayGoOn({ ...input, maxFailures: 2 }, { 'vm-1': undone('vm-1') })).toBe(true);
    expect(mayGoOn({ ...input, maxFailures: 1 }, { 'vm-1': undone('vm-1') })).toBe(false);
    const of = (n: number, state: RunResult['state']): RunResults =>
      Object.fromEntries(Array.from({ length: n }, (_, i) => [`${state}-${i}`, { vmId: `${state}-${i}`, state }]));
    expect([4, 5].map((n) => mayGoOn(input, of(n, 'undone')))).toEqual([true, false]);
    expect([9, 10].map((n) => mayGoOn(input, { ...of(5, 'failed'), ...of(n, 'succeeded') }))).toEqual([false, true]);
  });

  test('tells each VM once, in order; what is too much for an output is counted, those that did not go first', () => {
    const both = { 'vm-2': undone('vm-2'), 'vm-1': undone('vm-1') };
    expect(outputOf(input, both)).toEqual({ total: 2, succeeded: 0, results: [undone('vm-1'), undone('vm-2')] });
    const blockers = Array.from({ length: 20 }, () => ({ code: 'placement.no_host', subject: 'h1', message: 'x'.repeat(200) }));
    const ids = Array.from({ length: 3_000 }, (_, i) => `vm-${String(i).padStart(5, '0')}`);
    const results: RunResults = Object.fromEntries(
      ids.map((vmId, i) => [
        vmId,
        i % 10 === 0 ? { vmId, state: 'blocked', blockers } : { vmId, state: 'succeeded', migrationId: 'mig-'.padEnd(40, 'x') },
      ]),
    );
    const told = outputOf({ hostId: 'h1', concurrency: 1 }, results, []);
    expect([told.total, told.succeeded, told.results.length + told.more!]).toEqual([3_000, 2_700, 3_000]);
    expect(told.results.slice(0, 300).map((r) => [r.state, r.blockers?.length])).toEqual(Array(300).fill(['blocked', 1]));
    expect(JSON.stringify(told).length).toBeLessThan(200_000);
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

  test('takes a set back by the method and at the pace by which it went', () => {
    const { spec } = madeTemplate(smallType, largeType, true);
    expect(inverseOf(spec, smallType, largeType)).toEqual(madeTemplate(largeType, smallType, true));
    for (const how of [
      { method: 'restart' as const, shutDown: { force: true } },
      { throttle: true, downtimeLimitMs: 300 },
    ]) {
      const inverse = inverseOf({ ...spec, options: { ...spec.options, ...how } }, smallType, largeType);
      expect(inverse.spec.options).toMatchObject({ ...how, targetType: smallType.ref });
      expect(templateFaults(inverse.spec, (ref) => ({ 'small@1': small, 'large@1': large })[ref])).toEqual([]);
      expect(inverse.name).not.toBe(madeTemplate(largeType, smallType, true).name);
      expect(Name.parse(inverse.name)).toMatch(/^become-large-1-small-1/);
    }
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
      hosts: [host('h1'), host('h2', { free: { vcpu: 2, memoryMiB: 1024, diskMiB: 1024 } }), host('h3')],
      guests: new Map([['vm-1', guest('vm-1')]]),
      notHost: 'h2',
    });
    const { ready, blocked } = parted(made);
    expect(ready?.moves.map((m) => [m.vmId, m.toHost])).toEqual([['vm-1', 'h3']]);
    expect(ready?.basis.vmVersions).toEqual({ 'vm-1': 3 });
    expect(blocked['vm-2']).toMatchObject({ state: 'blocked', blockers: [{ code: 'vm.in_move' }] });
  });
});
