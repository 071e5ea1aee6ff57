import type { Cause, Coded, VolumeAction, VolumeEvent, VolumeSource } from '@chrysalis/contracts';
import { reject, unreachable, type Decision } from '@chrysalis/kernel';

export type VolumeRequested = Extract<VolumeEvent, { type: 'chrysalis.provisioning.volume.requested.v1' }>['data'];
export type VolumeStatus = 'creating' | 'available' | 'attached' | 'deleting' | 'deleted' | 'failed';

/** The state of one volume's stream. */
export type KnownVolume = Readonly<{
  status: VolumeStatus;
  version: number;
  volumeId: string;
  name: string;
  tenant: string;
  pool: string;
  /** Which of that name, where hosts say so. */
  poolId?: string;
  sizeMiB: number;
  /** What it was made of; absent: blank. */
  from?: VolumeSource;
  /** The one host that sees its pool; absent where several do. */
  hostId?: string;
  /** The one VM that has it. */
  vmId?: string;
  /** What is under way; nothing else may be done with it until that has ended. */
  action?: Readonly<{ name: VolumeAction; workflowId: string; vmId?: string; sizeMiB?: number; to?: string }>;
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
  | { readonly code: 'volume.not_ready'; readonly volumeId: string; readonly state: string }
  | { readonly code: 'volume.in_action'; readonly volumeId: string; readonly action: VolumeAction; readonly operation: string }
  | { readonly code: 'volume.attached'; readonly volumeId: string; readonly vmId: string }
  | { readonly code: 'volume.not_attached'; readonly volumeId: string }
  | { readonly code: 'volume.not_on_host'; readonly volumeId: string; readonly hostId: string; readonly vmId: string }
  | { readonly code: 'volume.source_larger'; readonly sourceMiB: number; readonly requestedMiB: number }
  | { readonly code: 'volume.shrink_refused'; readonly volumeId: string; readonly sizeMiB: number; readonly requestedMiB: number }
>;
/** Whether there is a file to delete. */
export const hasFile = ({ status, left }: KnownVolume): boolean => status !== 'failed' || left === true;

export type VolumeDecision = Decision<VolumeEvent, VolumeRejection>;

export const notReady = (volume: Volume, volumeId: string): VolumeDecision =>
  volume.status === 'unknown'
    ? reject({ code: 'volume.unknown', volumeId })
    : reject({ code: 'volume.not_ready', volumeId, state: volume.status });

/** What rules out whatever else is asked: something under way, or a VM that has it. */
export const taken = (volume: KnownVolume): VolumeDecision | undefined => {
  const { volumeId, action, vmId } = volume;
  if (action) return reject({ code: 'volume.in_action', volumeId, action: action.name, operation: action.workflowId });
  return vmId === undefined ? undefined : reject({ code: 'volume.attached', volumeId, vmId });
};

export const evolveVolume = (volume: Volume, e: VolumeEvent): Volume => {
  const version = volume.version + 1;
  if (e.type === 'chrysalis.provisioning.volume.requested.v1') return { ...requested(e.data), version };
  if (volume.status === 'unknown') return { ...volume, version };
  return { ...change(volume, e), version };
};

const requested = ({ request, from, ...data }: VolumeRequested): Omit<KnownVolume, 'version'> => ({
  ...data,
  ...(from ? { from } : {}),
  status: 'creating',
  operation: request.workflowId,
});

const change = (volume: KnownVolume, e: Exclude<VolumeEvent, { type: 'chrysalis.provisioning.volume.requested.v1' }>): KnownVolume => {
  switch (e.type) {
    case 'chrysalis.provisioning.volume.created.v1': {
      const { hostId, poolId } = e.data;
      return { ...volume, status: 'available', ...(hostId === undefined ? {} : { hostId }), ...(poolId === undefined ? {} : { poolId }) };
    }
    case 'chrysalis.provisioning.volume.creation-failed.v1':
      return { ...volume, status: 'failed', cause: e.data.cause, left: e.data.left };
    case 'chrysalis.provisioning.volume.attach-requested.v1':
      return begun(volume, { name: 'attach', workflowId: e.data.request.workflowId, vmId: e.data.vmId });
    case 'chrysalis.provisioning.volume.attached.v1':
      return { ...ended(volume), status: 'attached', vmId: e.data.vmId };
    case 'chrysalis.provisioning.volume.detach-requested.v1':
      return begun(volume, { name: 'detach', workflowId: e.data.request.workflowId, vmId: e.data.vmId });
    case 'chrysalis.provisioning.volume.detached.v1': {
      const { vmId: _, ...rest } = ended(volume);
      return { ...rest, status: 'available' };
    }
    case 'chrysalis.provisioning.volume.grow-requested.v1':
      return begun(volume, { name: 'grow', workflowId: e.data.request.workflowId, sizeMiB: e.data.sizeMiB });
    case 'chrysalis.provisioning.volume.grown.v1':
      return { ...ended(volume), sizeMiB: e.data.sizeMiB };
    case 'chrysalis.provisioning.volume.copy-begun.v1':
      return { ...volume, action: { name: 'copy', workflowId: e.data.workflowId, to: e.data.to } };
    case 'chrysalis.provisioning.volume.copy-ended.v1':
      return ended(volume);
    case 'chrysalis.provisioning.volume.action-failed.v1':
      return {
        ...ended(volume),
        cause: e.data.cause,
        ...(e.data.left && e.data.vmId !== undefined ? ({ status: 'attached', vmId: e.data.vmId } as const) : {}),
      };
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

const begun = ({ cause: _, ...volume }: KnownVolume, action: NonNullable<KnownVolume['action']>): KnownVolume => ({
  ...volume,
  action,
  operation: action.workflowId,
});
const ended = ({ action: _, ...volume }: KnownVolume): KnownVolume => volume;
