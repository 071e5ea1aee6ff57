import { describe, expect, test } from '@jest/globals';
import { topologyHash, type Topology, type VmTypeSpec } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import fc from 'fast-check';
import { given } from '@chrysalis/testing/decider';
import { bareTopology } from '@chrysalis/testing/topology';
import { image, p, small, uuid, vmId } from '../test/running-vm.ts';
import { provisionVm } from '../workflows.ts';
import { vmDecider, type VmCommand } from './decider.ts';
import { PROVISIONING_UNDONE } from './provision.ts';
import type { KnownVm, Requested, VmEvent } from './vm.ts';

const spec = (vcpus: number): VmTypeSpec => ({
  vcpus: { now: vcpus, max: 4 },
  memoryMiB: { now: 512, max: 2048 },
  disks: [{ id: 'data', sizeMiB: 128 }],
  nics: [{ id: 'front', network: 'front' }],
  cpuModel: 'Westmere',
  requiredTraits: [],
});
const large = { name: 'large', version: 1 };
const request = { workflowId: 'op-1', definition: provisionVm({ pinned: false }), params: {}, subject: vmId };
const data: Requested = {
  vmId,
  name: 'web',
  tenant: 'main',
  uuid,
  type: small,
  spec: spec(1),
  image,
  nics: [{ id: 'front', mac: '52:54:00:00:10:01', network: 'front' }],
  request,
};
const topology = (vcpus: number): Topology => bareTopology({ uuid, vcpus: { boot: vcpus, max: 4, plugged: [] }, image });
const shaped = (vcpus: number) => ({ topology: topology(vcpus), topologyHash: topologyHash(topology(vcpus)) });
const at = '2026-01-01T00:00:00.000Z';

const requested: VmEvent = { type: `${p}requested.v1`, data };
const placed: VmEvent = { type: `${p}placed.v1`, data: { vmId, hostId: 'a', epoch: 1 } };
const booted: VmEvent = { type: `${p}booted.v1`, data: { vmId, hostId: 'a', epoch: 1, ...shaped(1), at } };
const move = { moveId: 'mov-1', fromHost: 'a', toHost: 'b', fromType: small, toType: large };
const begun: VmEvent = { type: `${p}move-begun.v1`, data: { vmId, ...move } };
const switched: VmEvent = {
  type: `${p}switched-over.v1`,
  data: { vmId, moveId: 'mov-1', fromHost: 'a', toHost: 'b', epoch: 2, ...shaped(1) },
};
/** An undone move spends the epochs it offered to hosts. */
const ended = (outcome: 'succeeded' | 'undone'): VmEvent => ({
  type: `${p}move-ended.v1`,
  data: { vmId, moveId: 'mov-1', outcome, ...(outcome === 'undone' ? { spentEpoch: 3 } : {}) },
});
const running = [requested, placed, booted];
const vm = (events: readonly VmEvent[]) => given(vmDecider, events);

describe('provisioning', () => {
  test('request, place, boot; each said again says nothing', () => {
    vm([]).when({ type: 'request', vm: data }).then([requested]);
    vm([requested]).when({ type: 'request', vm: data }).thenNothing();
    vm([requested])
      .when({ type: 'request', vm: { ...data, uuid: uuid.replace('ff', 'fe') } })
      .thenRejected('vm.conflict');
    vm([requested]).when({ type: 'record-placement', vmId, hostId: 'a' }).then([placed]);
    vm([requested, placed]).when({ type: 'record-placement', vmId, hostId: 'a' }).thenNothing();
    vm([requested, placed]).when({ type: 'record-placement', vmId, hostId: 'b' }).thenRejected('vm.not_on_host', { actual: 'a' });
    const boot: VmCommand = { type: 'record-boot', vmId, hostId: 'a', epoch: 1, ...shaped(1), at };
    vm([requested, placed]).when(boot).then([booted]);
    vm(running).when(boot).thenNothing();
    vm([requested, placed])
      .when({ ...boot, hostId: 'b' })
      .thenRejected('vm.not_on_host');
    vm([requested, placed])
      .when({ ...boot, topologyHash: `sha256:${'0'.repeat(64)}` })
      .thenRejected('vm.topology_mismatch');
    vm([]).when(boot).thenRejected('vm.unknown');
  });

  test('a failure keeps the true cause: the undoing knows none, the end of the workflow does', () => {
    const undone = { code: PROVISIONING_UNDONE, message: 'undone' };
    const cause = { code: 'hypervisor.boot_failed', message: 'no' };
    const failed = (c: { code: string; message: string }): VmEvent => ({ type: `${p}provisioning-failed.v1`, data: { vmId, cause: c } });
    vm([requested, placed])
      .when({ type: 'fail-provisioning', vmId, cause: undone })
      .then([failed(undone)]);
    vm([requested, placed, failed(undone)])
      .when({ type: 'fail-provisioning', vmId, cause: undone })
      .thenNothing();
    vm([requested, placed, failed(undone)])
      .when({ type: 'fail-provisioning', vmId, cause })
      .then([failed(cause)]);
    vm([requested, failed(cause)])
      .when({ type: 'fail-provisioning', vmId, cause: undone })
      .thenNothing();
    vm(running)
      .when({ type: 'fail-provisioning', vmId, cause })
      .then([failed(cause)]); // booted, but its report came too late
    vm([...running, begun])
      .when({ type: 'fail-provisioning', vmId, cause })
      .thenRejected('vm.not_ready');
  });
});

describe('a move', () => {
  const begin: VmCommand = { type: 'begin-move', vmId, ...move };
  test('locks the VM, once', () => {
    vm(running).when(begin).then([begun]);
    vm([...running, begun])
      .when(begin)
      .thenNothing();
    vm([...running, begun])
      .when({ ...begin, moveId: 'mov-2' })
      .thenRejected('vm.in_move', { moveId: 'mov-1' });
    vm([...running, begun, ended('undone')])
      .when(begin)
      .thenRejected('vm.move_ended');
    vm([...running, begun, ended('undone')])
      .when({ ...begin, moveId: 'mov-2' })
      .then([{ ...begun, data: { ...begun.data, moveId: 'mov-2' } as never }]);
  });
  test('is refused for another version, host or type than the plan was made from', () => {
    vm(running)
      .when({ ...begin, expectedVersion: 2 })
      .thenRejected('vm.version_outdated', { expected: 2, actual: 3 });
    vm(running)
      .when({ ...begin, expectedVersion: 3 })
      .then([begun]);
    vm(running)
      .when({ ...begin, fromHost: 'c' })
      .thenRejected('vm.not_on_host');
    vm(running)
      .when({ ...begin, fromType: large })
      .thenRejected('vm.type_mismatch');
    vm([requested, placed]).when(begin).thenRejected('vm.not_ready', { state: 'placed' });
  });
  test('switches over once, raising the epoch by one', () => {
    const command: VmCommand = { type: 'switch-over', vmId, moveId: 'mov-1', fromHost: 'a', toHost: 'b', epoch: 2, ...shaped(1) };
    vm([...running, begun])
      .when(command)
      .then([switched]);
    vm([...running, begun, switched])
      .when(command)
      .thenNothing();
    vm([...running, begun])
      .when({ ...command, epoch: 3 })
      .thenRejected('vm.epoch_stale', { current: 1 });
    vm([...running, begun])
      .when({ ...command, epoch: 1 })
      .thenRejected('vm.epoch_stale');
    vm(running).when(command).thenRejected('vm.not_in_move');
    vm([...running, begun, switched, ended('succeeded')])
      .when(command)
      .thenRejected('vm.move_ended');
  });
  test('changes the type once, with the topology it ended in', () => {
    const command: VmCommand = { type: 'change-type', vmId, moveId: 'mov-1', from: small, to: large, spec: spec(2), ...shaped(2) };
    const state = vm([...running, begun, switched])
      .when(command)
      .then([
        { type: `${p}topology-changed.v1`, data: { vmId, ...shaped(2), reason: 'became large@1' } },
        { type: `${p}type-changed.v1`, data: { vmId, from: small, to: large, spec: spec(2) } },
      ]) as KnownVm;
    expect([state.type, state.epoch, state.hostId, state.version]).toEqual([large, 2, 'b', 7]);
    expect(vmDecider.decide(command, state)).toEqual({ ok: true, events: [] });
    vm([...running, begun])
      .when({ ...command, from: large, to: small, ...shaped(1) })
      .thenNothing();
  });
  test('lets go as another type, in one commit', () => {
    const becomes = { from: small, to: large, spec: spec(2) };
    const end: VmCommand = { type: 'end-move', vmId, moveId: 'mov-1', outcome: 'succeeded', becomes };
    const changed: VmEvent = { type: `${p}type-changed.v1`, data: { vmId, ...becomes } };
    const before = [...running, begun, switched];
    vm(before)
      .when(end)
      .then([changed, ended('succeeded')]);
    vm([...before, changed])
      .when(end)
      .then([ended('succeeded')]);
    vm([...before, changed, ended('succeeded')])
      .when(end)
      .thenNothing();
    vm(before)
      .when({ ...end, becomes: { ...becomes, from: { name: 'other', version: 1 } } })
      .thenRejected('vm.type_mismatch');
    vm([...running, begun])
      .when({ ...end, outcome: 'undone' })
      .then([ended('undone')]);
  });
  test('lets go once, and is welcome to do so where it never began', () => {
    const end: VmCommand = { type: 'end-move', vmId, moveId: 'mov-1', outcome: 'undone' };
    vm([...running, begun])
      .when(end)
      .then([ended('undone')]);
    vm([...running, begun, ended('undone')])
      .when(end)
      .thenNothing();
    vm(running).when(end).thenNothing();
  });
});

describe('deletion', () => {
  const remove: VmCommand = { type: 'request-deletion', vmId, request: { ...request, workflowId: 'op-2' } };
  const removing: VmEvent = { type: `${p}deletion-requested.v1`, data: { vmId, request: { ...request, workflowId: 'op-2' } } };
  test('is refused in a move and before the VM has come up', () => {
    vm([...running, begun])
      .when(remove)
      .thenRejected('vm.in_move', { moveId: 'mov-1' });
    vm([requested, placed]).when(remove).thenRejected('vm.not_ready');
    vm([]).when(remove).thenRejected('vm.unknown');
  });
  test('is asked once; a failed one gives the VM back as it was', () => {
    vm(running).when(remove).then([removing]);
    vm([...running, removing])
      .when({ ...remove, request: { ...request, workflowId: 'op-3' } })
      .thenNothing();
    vm([...running, removing])
      .when({ type: 'begin-move', vmId, ...move })
      .thenRejected('vm.not_ready');
    const cause = { code: 'host.unreachable', message: 'no' };
    const back: VmEvent = { type: `${p}deletion-failed.v1`, data: { vmId, workflowId: 'op-2', cause } };
    const state = vm([...running, removing])
      .when({ type: 'fail-deletion', vmId, workflowId: 'op-2', cause })
      .then([back]);
    expect(state.status).toBe('running');
    vm([...running, removing])
      .when({ type: 'fail-deletion', vmId, workflowId: 'op-9', cause })
      .thenNothing();
    const gone: VmEvent = { type: `${p}deleted.v1`, data: { vmId } };
    vm([...running, removing])
      .when({ type: 'record-deleted', vmId })
      .then([gone]);
    vm([...running, removing, gone])
      .when({ type: 'record-deleted', vmId })
      .thenNothing();
    vm(running).when({ type: 'record-deleted', vmId }).thenRejected('vm.not_ready');
  });
});

const moveId = fc.constantFrom('m1', 'm2', 'm3');
const hosts = fc.constantFrom('a', 'b');
const commands: fc.Arbitrary<VmCommand> = fc.oneof(
  fc.record({
    type: fc.constant('begin-move' as const),
    vmId: fc.constant(vmId),
    moveId,
    fromHost: hosts,
    toHost: hosts,
    fromType: fc.constant(small),
    toType: fc.constant(large),
  }),
  fc.record({
    type: fc.constant('switch-over' as const),
    vmId: fc.constant(vmId),
    moveId,
    fromHost: hosts,
    toHost: hosts,
    epoch: fc.integer({ min: 1, max: 6 }),
    topology: fc.constant(topology(1)),
    topologyHash: fc.constant(topologyHash(topology(1))),
  }),
  fc.record({ type: fc.constant('end-move' as const), vmId: fc.constant(vmId), moveId, outcome: fc.constant('succeeded' as const) }),
  fc.record({
    type: fc.constant('change-topology' as const),
    vmId: fc.constant(vmId),
    topology: fc.constant(topology(2)),
    topologyHash: fc.constant(topologyHash(topology(2))),
    reason: fc.constant('x'),
  }),
  fc.constant<VmCommand>({ type: 'request-deletion', vmId, request }),
  fc.constant<VmCommand>({ type: 'record-deleted', vmId }),
);

test('for any run of commands: said twice is as said once, the epoch only rises by one, one move at a time', () => {
  fc.assert(
    fc.property(fc.array(commands, { maxLength: 40 }), (run) => {
      let state = fold(vmDecider.evolve, vmDecider.initial, running) as KnownVm;
      for (const command of run) {
        const decision = vmDecider.decide(command, state);
        if (!decision.ok) continue;
        const next = fold(vmDecider.evolve, state, decision.events) as KnownVm;
        expect(vmDecider.decide(command, next)).toEqual({ ok: true, events: [] });
        expect(next.epoch - state.epoch).toBeLessThanOrEqual(1);
        expect(next.epoch).toBeGreaterThanOrEqual(state.epoch);
        expect(next.version).toBe(state.version + decision.events.length);
        if (state.move && next.move) expect(next.move.moveId).toBe(state.move.moveId);
        if (state.move) expect(next.status).toBe('running');
        state = next;
      }
    }),
    { numRuns: 1000 },
  );
});
