import type { Cause, Desired, WorkflowRequest } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { settled } from './lifecycle-state.ts';
import { inAction, notReady, type VmDecision } from './rejections.ts';
import { noRestartDue } from './restart.ts';
import type { KnownVm, Vm, VmEvent } from './vm.ts';

export type RequestDeletion = Readonly<{
  type: 'request-deletion';
  vmId: string;
  request: WorkflowRequest;
  volumes?: 'delete' | undefined;
}>;
export type RecordDeleted = Readonly<{ type: 'record-deleted'; vmId: string }>;
export type FailDeletion = Readonly<{ type: 'fail-deletion'; vmId: string; workflowId: string; cause: Cause }>;

/** Refused in a move, while an action is under way, and while the VM is being provisioned. A VM that is being deleted already stays with its first request. */
export const requestDeletion = ({ vmId, request, volumes }: RequestDeletion, vm: Vm): VmDecision => {
  if (vm.status === 'deleting') return accept();
  if (!settled(vm) && vm.status !== 'failed') return notReady(vm, vmId);
  if (vm.action) return inAction(vm, vm.action);
  if (vm.move) return reject({ code: 'vm.in_move', vmId, moveId: vm.move.moveId });
  return accept({ type: 'chrysalis.provisioning.vm.deletion-requested.v1', data: { vmId, request, ...(volumes ? { volumes } : {}) } });
};

export const recordDeleted = ({ vmId }: RecordDeleted, vm: Vm): VmDecision => {
  if (vm.status === 'deleted') return accept();
  if (vm.status !== 'deleting') return notReady(vm, vmId);
  return accept({ type: 'chrysalis.provisioning.vm.deleted.v1', data: { vmId } });
};

/** The end of a deletion's workflow without success. That of an earlier one, told late, says nothing of the newer. */
export const failDeletion = ({ vmId, workflowId, cause }: FailDeletion, vm: Vm): VmDecision => {
  if (vm.status !== 'deleting' || vm.deletion?.workflowId !== workflowId) return accept();
  return accept({ type: 'chrysalis.provisioning.vm.deletion-failed.v1', data: { vmId, workflowId, cause } });
};

type Asked = Extract<VmEvent, { type: 'chrysalis.provisioning.vm.deletion-requested.v1' }>['data'];
export const deletionRequested = (vm: KnownVm, { request, volumes }: Asked): KnownVm => {
  const before = settled(vm) || vm.status === 'failed' ? (vm.status as Desired | 'failed') : 'running';
  const deletion = { workflowId: request.workflowId, before, ...(volumes ? { volumes } : {}) };
  return { ...vm, status: 'deleting', restart: noRestartDue(vm.restart), deletion };
};
