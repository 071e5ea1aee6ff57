import type { Cause, Coded, VolumeEvent } from '@chrysalis/contracts';
import { reject, unreachable, type Decision } from '@chrysalis/kernel';

export type VolumeRequested = Extract<VolumeEvent, { type: 'chrysalis.provisioning.volume.requested.v1' }>['data'];
export type VolumeStatus = 'creating' | 'available' | 'deleting' | 'deleted' | 'failed';

/** The state of one volume's stream. */
export type KnownVolume = Readonly<{
  status: VolumeStatus;
  version: number;
  volumeId: string;
  name: string;
  tenant: string;
  pool: string;
  sizeMiB: number;
  /** The one host that sees its pool; absent where several do. */
  hostId?: string;
  /** The workflow that has it, or had it last. */
  operation: string;
  /** Where it goes back to when its deletion does not come to its end. */
  before?: 'available' | 'failed';
  cause?: Cause;
  /** It could not be made, and yet a file of it may be there. */
  left?: boolean;
}>;
export type Volume = Readonly<{ status: 'unknown'; version: number }> | KnownVolume;
export const initialVolume: Volume = { status: 'unknown', version: 0 };

export type VolumeRejection = Coded<
  | { readonly code: 'volume.unknown'; readonly volumeId: string }
  | { readonly code: 'volume.conflict'; readonly volumeId: string }
  | { readonly code: 'volume.not_ready'; readonly volumeId: string; readonly status: string }
>;
/** Whether there is a file to delete. */
export const hasFile = ({ status, left }: KnownVolume): boolean => status !== 'failed' || left === true;

export type VolumeDecision = Decision<VolumeEvent, VolumeRejection>;

export const notReady = (volume: Volume, volumeId: string): VolumeDecision =>
  volume.status === 'unknown'
    ? reject({ code: 'volume.unknown', volumeId })
    : reject({ code: 'volume.not_ready', volumeId, status: volume.status });

export const evolveVolume = (volume: Volume, e: VolumeEvent): Volume => {
  const version = volume.version + 1;
  if (e.type === 'chrysalis.provisioning.volume.requested.v1') return { ...requested(e.data), version };
  if (volume.status === 'unknown') return { ...volume, version };
  return { ...change(volume, e), version };
};

const requested = ({ request, ...data }: VolumeRequested): Omit<KnownVolume, 'version'> => ({
  ...data,
  status: 'creating',
  operation: request.workflowId,
});

const change = (volume: KnownVolume, e: Exclude<VolumeEvent, { type: 'chrysalis.provisioning.volume.requested.v1' }>): KnownVolume => {
  switch (e.type) {
    case 'chrysalis.provisioning.volume.created.v1':
      return { ...volume, status: 'available', ...(e.data.hostId === undefined ? {} : { hostId: e.data.hostId }) };
    case 'chrysalis.provisioning.volume.creation-failed.v1':
      return { ...volume, status: 'failed', cause: e.data.cause, left: e.data.left };
    case 'chrysalis.provisioning.volume.deletion-requested.v1': {
      const before = volume.status === 'failed' ? 'failed' : 'available';
      return { ...volume, status: 'deleting', before, operation: e.data.request.workflowId };
    }
    case 'chrysalis.provisioning.volume.deletion-failed.v1': {
      const { before = 'available', ...rest } = volume;
      return { ...rest, status: before, cause: e.data.cause };
    }
    case 'chrysalis.provisioning.volume.deleted.v1':
      return { ...volume, status: 'deleted' };
    default:
      return unreachable(e);
  }
};
