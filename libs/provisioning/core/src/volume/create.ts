import type { Cause } from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import { notReady, type Volume, type VolumeDecision, type VolumeRequested } from './volume.ts';

export type RequestVolume = Readonly<{ type: 'request'; volume: VolumeRequested }>;
export type RecordVolumeCreated = Readonly<{
  type: 'record-created';
  volumeId: string;
  hostId: string;
  poolId?: string | undefined;
  shared: boolean;
}>;
export type FailVolumeCreation = Readonly<{ type: 'fail-creation'; volumeId: string; cause: Cause; left: boolean }>;

/** The cause that the undoing itself can give; the workflow's end tells the true one afterwards. */
export const VOLUME_CREATION_UNDONE = 'volume.creation_undone';

export const requestVolume = ({ volume: data }: RequestVolume, volume: Volume): VolumeDecision => {
  if (volume.status === 'unknown') return accept({ type: 'chrysalis.provisioning.volume.requested.v1', data });
  const { volumeId, name, tenant, pool, sizeMiB, from, request } = data;
  const same =
    volume.operation === request.workflowId &&
    canonicalJson([volume.name, volume.tenant, volume.pool, volume.sizeMiB, volume.from]) ===
      canonicalJson([name, tenant, pool, sizeMiB, from]);
  return same ? accept() : reject({ code: 'volume.conflict', volumeId });
};

/** Where others see its pool too the volume is no host's. */
export const recordVolumeCreated = ({ volumeId, hostId, poolId, shared }: RecordVolumeCreated, volume: Volume): VolumeDecision => {
  if (volume.status === 'available' || volume.status === 'attached') return accept();
  if (volume.status !== 'creating') return notReady(volume, volumeId);
  const data = { volumeId, pool: volume.pool, ...(poolId === undefined ? {} : { poolId }), ...(shared ? {} : { hostId }) };
  return accept({ type: 'chrysalis.provisioning.volume.created.v1', data });
};

/**
 * Said by the undoing, which knows no cause, and by the end of the workflow, which does. One that was recorded and is then undone has failed
 * as well, as its file goes; from here on nobody may have it.
 */
export const failVolumeCreation = ({ volumeId, cause, left }: FailVolumeCreation, volume: Volume): VolumeDecision => {
  if (volume.status === 'failed') {
    const known = volume.cause?.code;
    if (known !== VOLUME_CREATION_UNDONE || cause.code === VOLUME_CREATION_UNDONE) return accept();
  } else if (volume.status !== 'creating' && (volume.status !== 'available' || volume.action)) return notReady(volume, volumeId);
  return accept({ type: 'chrysalis.provisioning.volume.creation-failed.v1', data: { volumeId, cause, left } });
};
