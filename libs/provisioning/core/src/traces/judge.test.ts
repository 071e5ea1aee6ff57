import { describe, expect, test } from '@jest/globals';
import { traceKinds, type Trace } from '@chrysalis/contracts';
import fc from 'fast-check';
import { judgeTrace, underWay, type Said, type VmSaid, type VolumeSaid } from './judge.ts';
import { reportOf } from './report.ts';

const trace = (over: Partial<Trace>): Trace => ({ kind: 'process', id: 'x', bytes: 1, print: 'p', ...over });
const said = (over: Partial<Said> = {}): Said => ({ vms: new Map(), volumes: new Map(), segments: new Map(), ...over });
const hosts = ['here', 'there'] as const;

const anyVm = fc.record({
  status: fc.constantFrom<VmSaid['status']>('requested', 'placed', 'running', 'stopped', 'paused', 'failed', 'deleting', 'deleted'),
  epoch: fc.nat({ max: 3 }),
  hostId: fc.constantFrom(...hosts, undefined),
  move: fc.option(fc.constant({ fromHost: 'here', toHost: 'there' }), { nil: undefined }),
  action: fc.constantFrom('stop', undefined),
});
const anyVolume = fc.record({
  status: fc.constantFrom<VolumeSaid['status']>('creating', 'available', 'attached', 'deleting', 'deleted', 'failed'),
  pool: fc.constantFrom('shared', 'own'),
  poolId: fc.constantFrom('pool-1', 'pool-2', undefined),
  hostId: fc.constantFrom(...hosts, undefined),
  action: fc.constantFrom('grow', undefined),
  left: fc.constantFrom(true, undefined),
});
const anyTrace = fc.record({
  kind: fc.constantFrom(...traceKinds),
  vmId: fc.constantFrom('vm-1', undefined),
  volumeId: fc.constantFrom('volume-1', undefined),
  vni: fc.constantFrom(5000, undefined),
  pool: fc.constantFrom('shared', 'own'),
  poolId: fc.constantFrom('pool-1', undefined),
  shared: fc.constantFrom(true, false, undefined),
  agentPackage: fc.constantFrom(true as const, undefined),
  busy: fc.constantFrom('young', undefined),
}, { noNullPrototype: true }); // prettier-ignore
const anySaid = fc.record({
  vm: fc.option(anyVm, { nil: undefined }),
  volume: fc.option(anyVolume, { nil: undefined }),
  segment: fc.option(fc.record({ given: fc.boolean(), here: fc.boolean(), coming: fc.boolean() }), { nil: undefined }),
});

describe('what a host has and is not to have', () => {
  test('nothing is an orphan but what a stream knows by its id and says is not there; nothing under way, nothing busy', () => {
    fc.assert(
      fc.property(anyTrace, anySaid, (shape, { vm, volume, segment }) => {
        const t = trace(shape as Partial<Trace>);
        const all = said({
          vms: new Map(vm ? [['vm-1', vm]] : []),
          volumes: new Map(volume ? [['volume-1', volume]] : []),
          segments: new Map(segment ? [[5000, segment]] : []),
        });
        const { verdict } = judgeTrace('here', t, all);
        if (verdict !== 'orphan') return;
        expect(t.busy).toBeUndefined();
        if (t.volumeId !== undefined) {
          expect(volume).toBeDefined();
          expect(volume!.action).toBeUndefined();
          const gone = volume!.status === 'deleted' || (volume!.status === 'failed' && volume!.left !== true);
          const elsewhere =
            ['available', 'attached', 'failed'].includes(volume!.status) && volume!.hostId === 'there' && t.shared === false;
          expect(gone || elsewhere).toBe(true);
        } else if (t.vmId !== undefined) {
          expect(vm).toBeDefined();
          expect(underWay(vm!)).toBeUndefined();
          const gone = vm!.status === 'deleted' || vm!.status === 'failed';
          expect(gone || (vm!.hostId === 'there' && (t.kind !== 'disk' || t.shared === false))).toBe(true);
        } else {
          expect(t.vni).toBe(5000);
          expect(segment).toEqual({ given: true, here: false, coming: false });
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('what a settled VM has on its own host is expected, and all that is to be removed is listed as an orphan, once', () => {
    fc.assert(
      fc.property(fc.array(anyTrace, { maxLength: 8 }), anySaid, (shapes, { vm, volume, segment }) => {
        const traces = shapes.map((shape, i) => trace({ ...(shape as Partial<Trace>), id: `t-${i}` }));
        const all = said({
          vms: new Map(vm ? [['vm-1', vm]] : []),
          volumes: new Map(volume ? [['volume-1', volume]] : []),
          segments: new Map(segment ? [[5000, segment]] : []),
        });
        const report = reportOf({ hostId: 'here', traces, vms: [], pools: [], more: false }, all, { vms: [], volumes: [] });
        expect(report.expected + report.findings.length).toBe(report.checked);
        const listed = report.findings.filter((f) => f.verdict === 'orphan').map((f) => f.id);
        const removed = [...report.vms, ...report.others].flatMap((g) => g.traces.map((t) => t.id));
        expect(removed.sort()).toEqual(listed.sort());
        if (vm?.status === 'running' && vm.hostId === 'here' && !underWay(vm)) expect(report.vms).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  test.each<[string, Partial<Trace>, Partial<VmSaid> | undefined, string]>([
    ['of a VM that was never heard of', { vmId: 'vm-1' }, undefined, 'unknown'],
    ['of one that is deleted', { vmId: 'vm-1' }, { status: 'deleted', hostId: undefined }, 'orphan'],
    ['of one that is deleted, young', { vmId: 'vm-1', busy: 'young' }, { status: 'deleted', hostId: undefined }, 'busy'],
    ['of one that a move left', { vmId: 'vm-1' }, { hostId: 'there' }, 'orphan'],
    ['its disk in a pool that both see', { vmId: 'vm-1', kind: 'disk', shared: true }, { hostId: 'there' }, 'expected'],
    ['its disk in a pool of this host alone', { vmId: 'vm-1', kind: 'disk', shared: false }, { hostId: 'there' }, 'orphan'],
    ['a state that was saved for a move that is over', { vmId: 'vm-1', kind: 'disk', shared: true, savedState: true }, {}, 'orphan'],
    [
      'one of a move that goes on',
      { vmId: 'vm-1', kind: 'disk', savedState: true },
      { move: { fromHost: 'here', toHost: 'there' } },
      'busy',
    ],
    ['of one that is moved in', { vmId: 'vm-1' }, { hostId: 'there', move: { fromHost: 'there', toHost: 'here' } }, 'busy'],
    ['of one that is being made', { vmId: 'vm-1' }, { status: 'placed' }, 'busy'],
    ['the package of the migration agent', { kind: 'disk', agentPackage: true }, undefined, 'expected'],
    ['that of a pool of this host alone, young', { kind: 'disk', agentPackage: true, shared: false, busy: 'young' }, undefined, 'expected'],
    ['without a mark', {}, { status: 'deleted' }, 'unknown'],
  ])('%s', (_, shape, vm, verdict) => {
    const vms = new Map(vm ? [['vm-1', { status: 'running', epoch: 2, hostId: 'here', ...vm } as VmSaid]] : []);
    expect(judgeTrace('here', trace(shape), said({ vms })).verdict).toBe(verdict);
  });

  test('what is to be there and is not is missing, unless the answer had no room for all', () => {
    const wanted = { vms: ['vm-1', 'vm-2'], volumes: [{ volumeId: 'volume-1', pool: 'own' }, { volumeId: 'volume-2', pool: 'unseen' }] }; // prettier-ignore
    const looked = { hostId: 'here', traces: [], vms: ['vm-2'], pools: [{ name: 'own', shared: false }], more: false };
    expect(reportOf(looked, said(), wanted).findings.map((f) => [f.verdict, f.of])).toEqual([
      ['missing', 'vm-1'],
      ['missing', 'volume-1'],
    ]);
    expect(reportOf({ ...looked, more: true }, said(), wanted).findings).toEqual([]);
  });
});
