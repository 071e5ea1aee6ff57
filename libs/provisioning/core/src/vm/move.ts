import { refText, type Ref, type Shows, type Topology, type VmTypeSpec } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { inAction, notInMove, notReady, wrongHash, type VmDecision } from './rejections.ts';
import type { KnownVm, Move, Vm, VmEvent } from './vm.ts';

/** `expectedVersion` is the VM's version that the plan was made from. */
export type BeginMove = Readonly<{ type: 'begin-move'; vmId: string; expectedVersion?: number | undefined } & Move>;
/** `becomes`: the type that the VM has with the move's success; written down with its end. */
export type EndMove = Readonly<{
  type: 'end-move';
  vmId: string;
  moveId: string;
  outcome: 'succeeded' | 'undone' | 'failed';
  becomes?: Readonly<{ from: Ref; to: Ref; spec: VmTypeSpec; shows?: Shows | undefined }> | undefined;
}>;
export type SwitchOver = Readonly<{
  type: 'switch-over';
  vmId: string;
  moveId: string;
  fromHost: string;
  toHost: string;
  epoch: number;
  topology: Topology;
  topologyHash: string;
}>;
export type ChangeType = Readonly<{
  type: 'change-type';
  vmId: string;
  moveId: string;
  from: Ref;
  to: Ref;
  spec: VmTypeSpec;
  topology?: Topology | undefined;
  topologyHash?: string | undefined;
}>;
export type ChangeTopology = Readonly<{ type: 'change-topology'; vmId: string; topology: Topology; topologyHash: string; reason: string }>;

const sameRef = (a: Ref, b: Ref): boolean => a.name === b.name && a.version === b.version;

/** Locks the VM for one move. A redelivery after the lock says nothing; one after the move's end is refused. */
export const beginMove = (cmd: BeginMove, vm: Vm): VmDecision => {
  const { vmId, moveId, fromHost, toHost, fromType, toType, expectedVersion } = cmd;
  if (vm.status === 'unknown') return notReady(vm, vmId);
  if (vm.move?.moveId === moveId) return accept();
  const held = heldBy(vm, vmId, moveId);
  if (held) return held;
  if (expectedVersion !== undefined && expectedVersion !== vm.version)
    return reject({ code: 'vm.version_outdated', vmId, expected: expectedVersion, actual: vm.version });
  if (vm.hostId !== fromHost) return reject({ code: 'vm.not_on_host', vmId, host: fromHost, actual: vm.hostId });
  if (!sameRef(vm.type, fromType)) return reject({ code: 'vm.type_mismatch', vmId, expected: refText(fromType), actual: refText(vm.type) });
  return accept({ type: 'chrysalis.provisioning.vm.move-begun.v1', data: { vmId, moveId, fromHost, toHost, fromType, toType } });
};

/** Why no move may begin now, whichever it is. */
const heldBy = (vm: KnownVm, vmId: string, moveId: string): VmDecision | undefined => {
  if (vm.endedMoves.has(moveId)) return reject({ code: 'vm.move_ended', vmId, moveId });
  if (vm.move) return reject({ code: 'vm.in_move', vmId, moveId: vm.move.moveId });
  if (vm.status === 'stopped' || vm.status === 'paused') return reject({ code: 'vm.halted', vmId, state: vm.status });
  if (vm.status !== 'running') return notReady(vm, vmId);
  return vm.action ? inAction(vm, vm.action) : undefined;
};

/** Welcome also where the move never began, or has ended: every failure path may call this, twice. */
export const endMove = ({ vmId, moveId, outcome, becomes }: EndMove, vm: Vm): VmDecision => {
  if (vm.status === 'unknown') return notReady(vm, vmId);
  if (vm.move?.moveId !== moveId) return accept();
  const spent = outcome === 'undone' ? { spentEpoch: offeredEpoch(vm) + 1 } : {};
  const ended: VmEvent = { type: 'chrysalis.provisioning.vm.move-ended.v1', data: { vmId, moveId, outcome, ...spent } };
  if (!becomes || outcome !== 'succeeded') return accept(ended);
  const typed = typeEvents(vm, { vmId, ...becomes });
  return typed.ok ? accept(...typed.events, ended) : typed;
};

/** Nothing where it has the type already, and shows its guest as much of it. */
const typeEvents = (
  vm: KnownVm,
  { shows, ...of }: { vmId: string; from: Ref; to: Ref; spec: VmTypeSpec; shows?: Shows | undefined },
): VmDecision => {
  const data = { ...of, ...(shows ? { shows } : {}) };
  if (sameRef(vm.type, data.to) && vm.shows?.vcpus === shows?.vcpus) return accept();
  if (sameRef(vm.type, data.from)) return accept({ type: 'chrysalis.provisioning.vm.type-changed.v1', data });
  return reject({ code: 'vm.type_mismatch', vmId: data.vmId, expected: refText(data.from), actual: refText(vm.type) });
};

/**
 * The epoch under which a move's target would run. A source that takes its guest back after its fence goes on under the one after it;
 * hosts keep the highest they have seen, so an undone move has spent both, though the VM itself stays at the epoch it has.
 */
export const offeredEpoch = (vm: KnownVm): number => Math.max(vm.epoch, vm.spentEpoch) + 1;

/** Only to the epoch that this move offered: whoever comes with another has not seen who ran before. */
export const switchOver = ({ type: _, ...data }: SwitchOver, vm: Vm): VmDecision => {
  const { vmId, moveId, fromHost, toHost, epoch, topology, topologyHash } = data;
  if (vm.status !== 'running') return notReady(vm, vmId);
  const refused = notInMove(vm, moveId);
  if (refused) return refused;
  if (vm.epoch === epoch && vm.hostId === toHost) return accept();
  if (epoch !== offeredEpoch(vm)) return reject({ code: 'vm.epoch_stale', vmId, epoch, current: vm.epoch });
  if (vm.hostId !== fromHost) return reject({ code: 'vm.not_on_host', vmId, host: fromHost, actual: vm.hostId });
  return wrongHash(vmId, topology, topologyHash) ?? accept({ type: 'chrysalis.provisioning.vm.switched-over.v1', data });
};

export const changeType = (cmd: ChangeType, vm: Vm): VmDecision => {
  const { vmId, moveId, from, to, spec } = cmd;
  if (vm.status !== 'running') return notReady(vm, vmId);
  const refused = notInMove(vm, moveId) ?? (cmd.topology ? wrongHash(vmId, cmd.topology, cmd.topologyHash ?? '') : undefined);
  if (refused) return refused;
  const typed = typeEvents(vm, { vmId, from, to, spec });
  return typed.ok ? accept(...topologyEvents(vm, cmd), ...typed.events) : typed;
};

const topologyEvents = (vm: KnownVm, { vmId, topology, topologyHash, to }: ChangeType): VmEvent[] =>
  topology && topologyHash && topologyHash !== vm.topologyHash
    ? [changed({ vmId, topology, topologyHash, reason: `became ${refText(to)}` })]
    : [];
const changed = (data: Omit<ChangeTopology, 'type'>): VmEvent => ({ type: 'chrysalis.provisioning.vm.topology-changed.v1', data });

export const changeTopology = ({ type: _, ...data }: ChangeTopology, vm: Vm): VmDecision => {
  const { vmId, topology, topologyHash } = data;
  if (vm.status !== 'running') return notReady(vm, vmId);
  if (vm.topologyHash === topologyHash) return accept();
  return wrongHash(vmId, topology, topologyHash) ?? accept(changed(data));
};
