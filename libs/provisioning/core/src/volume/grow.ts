import type { WorkflowRequest } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { notReady, taken, type Volume, type VolumeDecision } from './volume.ts';

export type RequestGrow = Readonly<{ type: 'request-grow'; volumeId: string; sizeMiB: number; request: WorkflowRequest }>;
export type RecordGrown = Readonly<{ type: 'record-grown'; volumeId: string; sizeMiB: number; workflowId: string; seen: boolean }>;

/** One that has the size is grown; while a VM has it, it grows there. */
export const requestGrow = ({ volumeId, sizeMiB, request }: RequestGrow, volume: Volume): VolumeDecision => {
  if (volume.status !== 'available' && volume.status !== 'attached') return notReady(volume, volumeId);
  const { action } = volume;
  if (action) return action.name === 'grow' && action.sizeMiB === sizeMiB ? accept() : taken(volume)!;
  if (sizeMiB === volume.sizeMiB) return accept();
  if (sizeMiB < volume.sizeMiB) return reject({ code: 'volume.shrink_refused', volumeId, sizeMiB: volume.sizeMiB, requestedMiB: sizeMiB });
  return accept({ type: 'chrysalis.provisioning.volume.grow-requested.v1', data: { volumeId, sizeMiB, request } });
};

/** Welcome also where its workflow has ended in the eyes of the stream: a file that grew does not become smaller again. */
export const recordGrown = ({ volumeId, sizeMiB, workflowId, seen }: RecordGrown, volume: Volume): VolumeDecision => {
  if (volume.status === 'unknown') return notReady(volume, volumeId);
  if (volume.action?.workflowId !== workflowId) return accept();
  const data = { volumeId, sizeMiB, workflowId, ...(seen ? { seen } : {}) };
  return accept({ type: 'chrysalis.provisioning.volume.grown.v1', data });
};
