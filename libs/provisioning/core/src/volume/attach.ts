import type { Cause, WorkflowRequest } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { notReady, taken, type Volume, type VolumeDecision } from './volume.ts';

/** `vmHost`: where the VM is. */
export type RequestAttach = Readonly<{ type: 'request-attach'; volumeId: string; vmId: string; vmHost: string; request: WorkflowRequest }>;
export type RecordAttached = Readonly<{ type: 'record-attached'; volumeId: string; vmId: string; workflowId: string; seen: boolean }>;
export type RequestDetach = Readonly<{ type: 'request-detach'; volumeId: string; force: boolean; request: WorkflowRequest }>;
export type RecordDetached = Readonly<{ type: 'record-detached'; volumeId: string; vmId: string; workflowId: string }>;
/** Its VM is gone. */
export type LeaveVm = Readonly<{ type: 'leave-vm'; volumeId: string; vmId: string }>;
export type FailVolumeAction = Readonly<{ type: 'fail-action'; volumeId: string; workflowId: string; undone: boolean; cause: Cause }>;

/** One VM at a time: this stream is the ledger that says which. The same asked for again, also while it is under way, says nothing. */
export const requestAttach = ({ volumeId, vmId, vmHost, request }: RequestAttach, volume: Volume): VolumeDecision => {
  if (volume.status !== 'available' && volume.status !== 'attached') return notReady(volume, volumeId);
  const { action, hostId } = volume;
  if (action ? action.name === 'attach' && action.vmId === vmId : volume.vmId === vmId) return accept();
  const refused = taken(volume);
  if (refused) return refused;
  if (hostId !== undefined && hostId !== vmHost) return reject({ code: 'volume.not_on_host', volumeId, hostId, vmId });
  return accept({ type: 'chrysalis.provisioning.volume.attach-requested.v1', data: { volumeId, vmId, request } });
};

/** Refused where it is not asked for any more: what was plugged is then taken out again by the workflow's undoing. */
export const recordAttached = ({ volumeId, vmId, workflowId, seen }: RecordAttached, volume: Volume): VolumeDecision => {
  if (volume.status === 'attached' && volume.vmId === vmId) return accept();
  if (volume.status !== 'available' || volume.action?.workflowId !== workflowId) return notReady(volume, volumeId);
  const data = { volumeId, vmId, workflowId, ...(seen ? { seen } : {}) };
  return accept({ type: 'chrysalis.provisioning.volume.attached.v1', data });
};

export const requestDetach = ({ volumeId, force, request }: RequestDetach, volume: Volume): VolumeDecision => {
  if (volume.status === 'available' && !volume.action) return accept();
  if (volume.status !== 'attached' && volume.status !== 'available') return notReady(volume, volumeId);
  const { action, vmId } = volume;
  if (action) return action.name === 'detach' ? accept() : taken(volume)!;
  if (vmId === undefined) return reject({ code: 'volume.not_attached', volumeId });
  return accept({ type: 'chrysalis.provisioning.volume.detach-requested.v1', data: { volumeId, vmId, force, request } });
};

export const recordDetached = ({ volumeId, vmId, workflowId }: RecordDetached, volume: Volume): VolumeDecision => {
  if (volume.status === 'available' && !volume.action) return accept();
  if (volume.status !== 'attached' || volume.action?.workflowId !== workflowId) return notReady(volume, volumeId);
  return accept({ type: 'chrysalis.provisioning.volume.detached.v1', data: { volumeId, vmId, why: 'asked' } });
};

/** Nothing is under way with it: that locks the VM too, and a VM that is locked is not deleted. */
export const leaveVm = ({ volumeId, vmId }: LeaveVm, volume: Volume): VolumeDecision => {
  if (volume.status !== 'attached' || volume.vmId !== vmId) return accept();
  return accept({ type: 'chrysalis.provisioning.volume.detached.v1', data: { volumeId, vmId, why: 'vm-deleted' } });
};

/**
 * The end of an action's workflow without success. That of an earlier one, told late, says nothing of the newer. An attachment that could not
 * be taken back may stand: then the volume is that VM's until it is detached from it.
 */
export const failVolumeAction = ({ volumeId, workflowId, undone, cause }: FailVolumeAction, volume: Volume): VolumeDecision => {
  if (volume.status === 'unknown' || volume.action?.workflowId !== workflowId) return accept();
  const { name: action, vmId = volume.vmId } = volume.action;
  const left = action === 'attach' && !undone;
  const data = { volumeId, action, workflowId, cause, ...(vmId === undefined ? {} : { vmId }), ...(left ? { left } : {}) };
  return accept({ type: 'chrysalis.provisioning.volume.action-failed.v1', data });
};
