import { accept, reject } from '@chrysalis/kernel';
import { notReady, taken, type Volume, type VolumeDecision } from './volume.ts';

/** `to`: the volume that is to be made of it, by that workflow; `sizeMiB`: which that is to have. */
export type BeginCopy = Readonly<{ type: 'begin-copy'; volumeId: string; to: string; sizeMiB: number; workflowId: string }>;
export type EndCopy = Readonly<{ type: 'end-copy'; volumeId: string; workflowId: string }>;

/**
 * Refused while a VM has it: what its guest has not written yet is nowhere to be read, and half of what it writes meanwhile would be in the
 * copy. From here on no VM gets it until the copy has ended.
 */
export const beginCopy = ({ volumeId, to, sizeMiB, workflowId }: BeginCopy, volume: Volume): VolumeDecision => {
  if (volume.status !== 'available' && volume.status !== 'attached') return notReady(volume, volumeId);
  if (volume.action?.name === 'copy' && volume.action.workflowId === workflowId) return accept();
  const refused = taken(volume);
  if (refused) return refused;
  if (sizeMiB < volume.sizeMiB) return reject({ code: 'volume.source_larger', sourceMiB: volume.sizeMiB, requestedMiB: sizeMiB });
  return accept({ type: 'chrysalis.provisioning.volume.copy-begun.v1', data: { volumeId, to, workflowId } });
};

/** Said by whoever hears first of the end; one of another workflow says nothing. */
export const endCopy = ({ volumeId, workflowId }: EndCopy, volume: Volume): VolumeDecision => {
  if (volume.status === 'unknown' || volume.action?.name !== 'copy' || volume.action.workflowId !== workflowId) return accept();
  const { to = '' } = volume.action;
  return accept({ type: 'chrysalis.provisioning.volume.copy-ended.v1', data: { volumeId, to, workflowId } });
};
