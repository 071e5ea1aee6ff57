import type { Cause, WorkflowRequest } from '@chrysalis/contracts';
import { accept } from '@chrysalis/kernel';
import { notReady, taken, type Volume, type VolumeDecision } from './volume.ts';

export type RequestVolumeDeletion = Readonly<{ type: 'request-deletion'; volumeId: string; request: WorkflowRequest }>;
export type RecordVolumeDeleted = Readonly<{ type: 'record-deleted'; volumeId: string }>;
export type FailVolumeDeletion = Readonly<{ type: 'fail-deletion'; volumeId: string; workflowId: string; cause: Cause }>;

/** One that is being deleted already stays with its first request. */
export const requestVolumeDeletion = ({ volumeId, request }: RequestVolumeDeletion, volume: Volume): VolumeDecision => {
  if (volume.status === 'deleting') return accept();
  if (volume.status === 'unknown') return notReady(volume, volumeId);
  const refused = taken(volume);
  if (refused) return refused;
  if (volume.status !== 'available' && volume.status !== 'failed') return notReady(volume, volumeId);
  return accept({ type: 'chrysalis.provisioning.volume.deletion-requested.v1', data: { volumeId, request } });
};

export const recordVolumeDeleted = ({ volumeId }: RecordVolumeDeleted, volume: Volume): VolumeDecision => {
  if (volume.status === 'deleted') return accept();
  if (volume.status !== 'deleting') return notReady(volume, volumeId);
  return accept({ type: 'chrysalis.provisioning.volume.deleted.v1', data: { volumeId } });
};

/** The end of a deletion's workflow without success. That of an earlier one, told late, says nothing of the newer. */
export const failVolumeDeletion = ({ volumeId, workflowId, cause }: FailVolumeDeletion, volume: Volume): VolumeDecision => {
  if (volume.status !== 'deleting' || volume.operation !== workflowId) return accept();
  return accept({ type: 'chrysalis.provisioning.volume.deletion-failed.v1', data: { volumeId, workflowId, cause } });
};
