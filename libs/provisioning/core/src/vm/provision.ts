import type { Cause, Topology } from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import { notReady, wrongHash, type VmDecision } from './rejections.ts';
import type { KnownVm, Requested, Vm } from './vm.ts';

/** All that is random or read from elsewhere (uuid, MACs, the type's spec) comes in. */
export type RequestVm = Readonly<{ type: 'request'; vm: Requested }>;
export type RecordPlacement = Readonly<{ type: 'record-placement'; vmId: string; hostId: string }>;
export type RecordBoot = Readonly<{
  type: 'record-boot';
  vmId: string;
  epoch: number;
  hostId: string;
  topology: Topology;
  topologyHash: string;
  at: string;
}>;
export type FailProvisioning = Readonly<{ type: 'fail-provisioning'; vmId: string; cause: Cause }>;

/** The cause that the undoing itself can give; the workflow's end tells the true one afterwards. */
export const PROVISIONING_UNDONE = 'vm.provisioning_undone';
export const FIRST_EPOCH = 1;

export const requestVm = ({ vm: data }: RequestVm, vm: Vm): VmDecision => {
  if (vm.status === 'unknown') return accept({ type: 'chrysalis.provisioning.vm.requested.v1', data });
  return sameRequest(vm, data) ? accept() : reject({ code: 'vm.conflict', vmId: data.vmId });
};
const sameRequest = (vm: KnownVm, d: Requested): boolean =>
  vm.operation === d.request.workflowId &&
  canonicalJson([vm.uuid, vm.name, vm.tenant, vm.nics, vm.image]) === canonicalJson([d.uuid, d.name, d.tenant, d.nics, d.image]);

export const recordPlacement = ({ vmId, hostId }: RecordPlacement, vm: Vm): VmDecision => {
  if (vm.status !== 'requested' && vm.status !== 'placed') return notReady(vm, vmId);
  if (vm.hostId === hostId) return accept();
  if (vm.hostId !== undefined) return reject({ code: 'vm.not_on_host', vmId, host: hostId, actual: vm.hostId });
  return accept({ type: 'chrysalis.provisioning.vm.placed.v1', data: { vmId, hostId, epoch: FIRST_EPOCH } });
};

export const recordBoot = ({ type: _, ...data }: RecordBoot, vm: Vm): VmDecision => {
  const { vmId, hostId, epoch, topology, topologyHash } = data;
  if (vm.status === 'running' && vm.hostId === hostId && vm.epoch === epoch && vm.topologyHash === topologyHash) return accept();
  if (vm.status !== 'placed') return notReady(vm, vmId);
  if (vm.hostId !== hostId) return reject({ code: 'vm.not_on_host', vmId, host: hostId, actual: vm.hostId });
  if (vm.epoch !== epoch) return reject({ code: 'vm.epoch_stale', vmId, epoch, current: vm.epoch });
  return wrongHash(vmId, topology, topologyHash) ?? accept({ type: 'chrysalis.provisioning.vm.booted.v1', data });
};

/**
 * Said by the undoing, which knows no cause, and by the end of the workflow, which does: a second word is taken only where it says
 * more. A VM whose boot was recorded and then undone is failed as well; one that is being deleted or moved is past this.
 */
export const failProvisioning = ({ vmId, cause }: FailProvisioning, vm: Vm): VmDecision => {
  if (vm.status === 'failed') {
    const known = vm.cause?.code;
    if (known !== PROVISIONING_UNDONE || cause.code === PROVISIONING_UNDONE) return accept();
  } else if (vm.status !== 'requested' && vm.status !== 'placed' && !bootedByThis(vm)) return notReady(vm, vmId);
  return accept({ type: 'chrysalis.provisioning.vm.provisioning-failed.v1', data: { vmId, cause } });
};
const bootedByThis = (vm: Vm): boolean => vm.status === 'running' && vm.epoch === FIRST_EPOCH && !vm.move && vm.endedMoves.size === 0;
