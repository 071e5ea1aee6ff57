import { describe, expect, test } from '@jest/globals';
import { allTasks, topologyHash, type AddressEvent, type TaskContract, type WorkflowDefinition } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { expectEveryStepFails } from '@chrysalis/testing';
import { given } from '@chrysalis/testing/decider';
import { bareTopology } from '@chrysalis/testing/topology';
import fc from 'fast-check';
import { networkDecider } from '../network/decider.ts';
import { initialNetwork, type KnownNetwork } from '../network/network.ts';
import { initialAddress, takenFrom, type KnownAddress } from './address.ts';
import { addressDecider, type AddressCommand } from './decider.ts';
import { bindAddress, moveAddress, unbindAddress } from './workflows.ts';

const a = 'chrysalis.provisioning.address.';
const addressId = 'address-0199c0de-0000-7000-8000-0000000000f1';
const networkId = 'network-0199c0de-0000-7000-8000-0000000000e1';
const data = { addressId, name: 'web', tenant: 'main', networkId, address: '10.7.0.50' };
const asked = (workflowId: string, definition: WorkflowDefinition = bindAddress) => ({
  workflowId,
  definition,
  params: {},
  subject: addressId,
});
const reserved: AddressEvent = { type: `${a}reserved.v1`, data };
const bind = (vmId: string, op = 'op-1', move = false): AddressCommand => ({
  type: 'request-bind',
  addressId,
  vmId,
  move,
  request: asked(op),
});
const binding = (vmId: string, op: string, from?: string): AddressEvent => ({
  type: `${a}bind-requested.v1`,
  data: { addressId, vmId, ...(from ? { from } : {}), request: asked(op) },
});
const bound = (vmId: string, op: string, from?: string): AddressEvent => ({
  type: `${a}bound.v1`,
  data: { addressId, vmId, ...(from ? { from } : {}), workflowId: op, seen: true },
});
const record = (vmId: string, op: string): AddressCommand => ({ type: 'record-bound', addressId, vmId, workflowId: op, seen: true });
const unbinding: AddressEvent = { type: `${a}unbind-requested.v1`, data: { addressId, vmId: 'vm-1', request: asked('op-3') } };
const unbound = (vmId: string, why: 'asked' | 'vm-deleted'): AddressEvent => ({ type: `${a}unbound.v1`, data: { addressId, vmId, why } });
const cause = { code: 'hypervisor.segment_failed', message: 'nft: no' };
const failed = (of: object): AddressEvent => ({ type: `${a}action-failed.v1`, data: { addressId, action: 'bind', vmId: 'vm-2', from: 'vm-1', workflowId: 'op-2', cause, ...of } }); // prettier-ignore
const had = [reserved, binding('vm-1', 'op-1'), bound('vm-1', 'op-1')];
const moving = [...had, binding('vm-2', 'op-2', 'vm-1')];
const unsettled = [...moving, failed({ left: true })];
const address = (...events: AddressEvent[]) => given(addressDecider, events);

describe('a reserved address', () => {
  test('is reserved once, and released when no VM has it', () => {
    address().when({ type: 'reserve', addressId, reserved: data }).then([reserved]);
    address(reserved).when({ type: 'reserve', addressId, reserved: data }).thenNothing();
    const other = { type: 'reserve', addressId, reserved: { ...data, name: 'other' } } as const;
    address(reserved).when(other).thenRejected('address.conflict');
    const gone: AddressEvent = { type: `${a}released.v1`, data: { addressId } };
    const release = { type: 'release', addressId } as const;
    expect(address(reserved).when(release).then([gone])).toMatchObject({ status: 'deleted' });
    address(reserved, gone).when(release).thenNothing();
    address(...had).when(release).thenRejected('address.bound', { vmId: 'vm-1' }); // prettier-ignore
    address(...moving).when(release).thenRejected('address.in_action', { operation: 'op-2' }); // prettier-ignore
    address(reserved, gone).when(bind('vm-1')).thenRejected('address.unknown');
    address().when(release).thenRejected('address.unknown');
  });

  test('is one VM’s; the same asked for again says nothing, and away from a VM it goes only where that is said', () => {
    address(reserved).when(bind('vm-1')).then([binding('vm-1', 'op-1')]); // prettier-ignore
    address(reserved, binding('vm-1', 'op-1')).when(bind('vm-1', 'op-9')).thenNothing();
    address(reserved, binding('vm-1', 'op-1'))
      .when(bind('vm-2', 'op-9', true))
      .thenRejected('address.in_action');
    expect(address(reserved, binding('vm-1', 'op-1')).when(record('vm-1', 'op-1')).then([bound('vm-1', 'op-1')])).toMatchObject({ status: 'bound', vmId: 'vm-1' }); // prettier-ignore
    address(...had).when(record('vm-1', 'op-1')).thenNothing(); // prettier-ignore
    address(...had).when(bind('vm-1', 'op-9')).thenNothing(); // prettier-ignore
    address(...had).when(bind('vm-2', 'op-2')).thenRejected('address.bound', { vmId: 'vm-1' }); // prettier-ignore
    address(...had).when(bind('vm-2', 'op-2', true)).then([binding('vm-2', 'op-2', 'vm-1')]); // prettier-ignore
    expect(address(...moving).when(record('vm-2', 'op-2')).then([bound('vm-2', 'op-2', 'vm-1')])).toMatchObject({ vmId: 'vm-2' }); // prettier-ignore
    address(...had).when(record('vm-2', 'op-9')).thenRejected('address.not_bound'); // prettier-ignore
    address(...moving).when(record('vm-2', 'op-9')).thenRejected('address.in_action'); // prettier-ignore
  });

  test('is taken from its VM, and left by one that is deleted; it is kept', () => {
    const unbind = { type: 'request-unbind', addressId, request: asked('op-3') } as const;
    const done = { type: 'record-unbound', addressId, vmId: 'vm-1', workflowId: 'op-3' } as const;
    address(reserved).when(unbind).thenNothing();
    address(...had).when(unbind).then([unbinding]); // prettier-ignore
    address(...had, unbinding).when(unbind).thenNothing(); // prettier-ignore
    address(...moving).when(unbind).thenRejected('address.in_action'); // prettier-ignore
    const free = address(...had, unbinding).when(done).then([unbound('vm-1', 'asked')]); // prettier-ignore
    expect(free).toMatchObject({ status: 'reserved' });
    expect(free).not.toHaveProperty('vmId');
    address(...had, unbinding, unbound('vm-1', 'asked')).when(done).thenNothing(); // prettier-ignore
    address(...had).when(done).thenRejected('address.bound'); // prettier-ignore
    const leave = { type: 'leave-vm', addressId, vmId: 'vm-1' } as const;
    address(...had).when(leave).then([unbound('vm-1', 'vm-deleted')]); // prettier-ignore
    address(...had).when({ ...leave, vmId: 'vm-2' }).thenNothing(); // prettier-ignore
    address(reserved).when(leave).thenNothing();
  });

  test('of which a move was taken back is as before; one that could not be is settled by a move to one of the two, or by the end of one', () => {
    const fail = (undone: boolean) => ({ type: 'fail-action', addressId, workflowId: 'op-2', undone, cause }) as const;
    expect(address(...moving).when(fail(true)).then([failed({})])).toMatchObject({ status: 'bound', vmId: 'vm-1', cause }); // prettier-ignore
    expect(address(...moving).when(fail(false)).then([failed({ left: true })])).toMatchObject({ vmId: 'vm-1', unsettled: 'vm-2' }); // prettier-ignore
    address(...had).when(fail(true)).thenNothing(); // prettier-ignore
    address(...unsettled).when(bind('vm-3', 'op-9', true)).thenRejected('address.unsettled', { vmIds: ['vm-1', 'vm-2'] }); // prettier-ignore
    address(...unsettled).when({ type: 'request-unbind', addressId, request: asked('op-9') }).thenRejected('address.unsettled'); // prettier-ignore
    address(...unsettled).when(bind('vm-2', 'op-9')).thenRejected('address.bound'); // prettier-ignore
    address(...unsettled).when(bind('vm-2', 'op-9', true)).then([binding('vm-2', 'op-9', 'vm-1')]); // prettier-ignore
    address(...unsettled).when(bind('vm-1', 'op-9', true)).then([binding('vm-1', 'op-9', 'vm-2')]); // prettier-ignore
    const leave = (vmId: string) => ({ type: 'leave-vm', addressId, vmId }) as const;
    expect(address(...unsettled).when(leave('vm-1')).then([unbound('vm-1', 'vm-deleted')])).toMatchObject({ vmId: 'vm-2' }); // prettier-ignore
    const one = address(...unsettled).when(leave('vm-2')).then([unbound('vm-2', 'vm-deleted')]); // prettier-ignore
    expect(one).toMatchObject({ vmId: 'vm-1' });
    expect(one).not.toHaveProperty('unsettled');
  });
});

/**
 * Hosts as they may be beside the ledger: a workflow of the address does its steps there, one at a time in whatever order with all else, ends
 * well, taken back, or stuck. `filters`: the VMs whose hosts let them have it.
 */
const VMS = ['vm-1', 'vm-2', 'vm-3'];
type World = {
  network: KnownNetwork;
  address: KnownAddress;
  filters: Set<string>;
  steps: (() => void)[];
  ops: number;
  /** Under way to an end that is neither: what could not be taken back is said in its last step. */
  stuck: boolean;
};
const world = (): World => {
  const made = { networkId, name: 'back', tenant: 'main', subnet: '10.7.0.0/26', vni: 4096, mtu: 1450 };
  const network = fold(networkDecider.evolve, initialNetwork, [
    { type: 'chrysalis.provisioning.network.created.v1', data: made },
    { type: 'chrysalis.provisioning.network.address-reserved.v1', data: { networkId, addressId, address: data.address } },
  ]) as KnownNetwork;
  return { network, address: fold(addressDecider.evolve, initialAddress, [reserved]) as KnownAddress, filters: new Set(), steps: [], ops: 0, stuck: false }; // prettier-ignore
};
const told = (w: World, command: AddressCommand): boolean => {
  const decided = addressDecider.decide(command, w.address);
  if (decided.ok) w.address = fold(addressDecider.evolve, w.address, decided.events) as KnownAddress;
  return decided.ok && decided.events.length > 0;
};
const gives = (w: World, vm: string) => () => void w.filters.add(vm);
const takes = (w: World, vm: string) => () => void w.filters.delete(vm);
type End = 'succeeds' | 'undone' | 'stuck';
/** The steps of what was just asked for, and of its end. */
const began = (w: World, workflowId: string, end: End): void => {
  const { name, vmId, from } = w.address.action!;
  const take = name === 'unbind' ? vmId : from;
  const forward = [...(take ? [takes(w, take)] : []), ...(name === 'bind' ? [gives(w, vmId)] : [])];
  const back = [...(name === 'bind' ? [takes(w, vmId)] : []), ...(take ? [gives(w, take)] : [])];
  const fail = (undone: boolean) => () => {
    told(w, { type: 'fail-action', addressId, workflowId, undone, cause });
    w.stuck = false;
  };
  const done = (): void => {
    if (name === 'bind') told(w, record(vmId, workflowId));
    else told(w, { type: 'record-unbound', addressId, vmId, workflowId });
  };
  w.stuck = end === 'stuck';
  w.steps = {
    succeeds: [...forward, done],
    undone: [...forward, ...back, fail(true)],
    stuck: [...forward, ...(from ? [gives(w, from)] : []), fail(false)],
  }[end];
};

const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ do: 'step' as const }) },
  fc.record({ do: fc.constant('bind' as const), vm: fc.constantFrom(...VMS), move: fc.boolean(), end: fc.constantFrom<End>('succeeds', 'succeeds', 'undone', 'stuck') }), // prettier-ignore
  fc.record({ do: fc.constant('unbind' as const), end: fc.constantFrom<End>('succeeds', 'undone') }),
  fc.record({ do: fc.constant('delete-vm' as const), vm: fc.constantFrom(...VMS) }),
  fc.constant({ do: 'release' as const }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const act = (w: World, s: Step): void => {
  const op = `op-${(w.ops += 1)}`;
  switch (s.do) {
    case 'step':
      return w.steps.shift()?.();
    case 'bind':
      return told(w, bind(s.vm, op, s.move)) ? began(w, op, s.end) : undefined;
    case 'unbind':
      return told(w, { type: 'request-unbind', addressId, request: asked(op) }) ? began(w, op, s.end) : undefined;
    case 'delete-vm': {
      const { action } = w.address;
      if (action && (action.vmId === s.vm || action.from === s.vm)) return; // it is locked
      w.filters.delete(s.vm);
      return void told(w, { type: 'leave-vm', addressId, vmId: s.vm });
    }
    case 'release': {
      if (!told(w, { type: 'release', addressId })) return;
      const given = networkDecider.decide({ type: 'release-address', networkId, addressId }, w.network);
      if (given.ok) w.network = fold(networkDecider.evolve, w.network, given.events) as KnownNetwork;
    }
  }
};

/** Seen once: both hosts have it for the moment between the last that was given back and the word of it. */
const stuckInTheMiddle: Step[] = [
  { do: 'bind', vm: 'vm-1', move: false, end: 'succeeds' },
  ...[1, 2].map(() => ({ do: 'step' as const })),
  { do: 'bind', vm: 'vm-2', move: true, end: 'stuck' },
  ...[1, 2, 3, 4].map(() => ({ do: 'step' as const })),
];

test('whatever is asked in whatever order, and however it ends: two hosts have it only after a move that nobody could take back, and that is said', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const w = world();
      for (const s of steps) {
        act(w, s);
        const { status, vmId, unsettled, action } = w.address;
        const may = new Set([vmId, unsettled, action?.vmId, action?.from]);
        for (const vm of w.filters) expect(may).toContain(vm);
        if (unsettled === undefined && !w.stuck) expect(w.filters.size).toBeLessThanOrEqual(1);
        if (!action && unsettled === undefined && status === 'bound' && w.filters.size === 1) expect([...w.filters]).toEqual([vmId]);
        if (!action && status !== 'bound') expect(w.filters.size).toBe(0);
        expect(status === 'bound').toBe(vmId !== undefined);
        if (unsettled !== undefined) expect(takenFrom(w.address, unsettled)).toBe(vmId);
        expect(w.network.reserved.has(data.address)).toBe(status !== 'deleted');
        const asVm = networkDecider.decide({ type: 'give-address', networkId, vmId: 'vm-9', address: data.address }, w.network);
        expect(asVm.ok).toBe(status === 'deleted');
      }
    }),
    { numRuns: 500, examples: [[stuckInTheMiddle]] },
  );
});

const kind = (contract: TaskContract, output: Record<string, unknown> = {}): [string, (input: unknown) => Record<string, unknown>] => [
  contract.kind,
  (input) => {
    contract.input.parse(input);
    return contract.output.parse(output) as Record<string, unknown>;
  },
];
const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
const topology = bareTopology({ uuid: '0199c0de-0000-7000-8000-0000000000ff', image });
const shaped = { topology, topologyHash: topologyHash(topology) };
const executorsWith = (seen: object) =>
  Object.fromEntries([
    kind(allTasks.bindAddress, shaped),
    kind(allTasks.unbindAddress, shaped),
    kind(allTasks.carryAddress, { ...seen }),
    kind(allTasks.recordAddressBound),
    kind(allTasks.recordAddressUnbound),
  ]);
const params = { addressId, network: networkId, address: '10.7.0.50', vmId: 'vm-1', hostId: 'h1', epoch: 1 };
const other = { fromVmId: 'vm-2', fromHostId: 'h2', fromEpoch: 3 };
test.each([
  ['bound', bindAddress, params, { seen: true }],
  ['bound, where nobody in the guest can be told', bindAddress, params, {}],
  ['moved', moveAddress, { ...params, ...other }, { seen: true }],
  ['unbound', unbindAddress, params, {}],
])('an address is %s, or as it was: every step may fail', (_, definition, given_, seen) => {
  const report = expectEveryStepFails({ definition, params: given_, executors: executorsWith(seen) });
  expect(Object.keys(report.finalStates)).toEqual(expect.arrayContaining(['succeeded', 'undone']));
});
