import type { VolumeEvent } from '@chrysalis/contracts';
import { unreachable, type Decider } from '@chrysalis/kernel';
import {
  failVolumeAction,
  leaveVm,
  recordAttached,
  recordDetached,
  requestAttach,
  requestDetach,
  type FailVolumeAction,
  type LeaveVm,
  type RecordAttached,
  type RecordDetached,
  type RequestAttach,
  type RequestDetach,
} from './attach.ts';
import { beginCopy, endCopy, type BeginCopy, type EndCopy } from './copy.ts';
import {
  failVolumeCreation,
  recordVolumeCreated,
  requestVolume,
  type FailVolumeCreation,
  type RecordVolumeCreated,
  type RequestVolume,
} from './create.ts';
import {
  failVolumeDeletion,
  recordVolumeDeleted,
  requestVolumeDeletion,
  type FailVolumeDeletion,
  type RecordVolumeDeleted,
  type RequestVolumeDeletion,
} from './delete.ts';
import { recordGrown, requestGrow, type RecordGrown, type RequestGrow } from './grow.ts';
import { evolveVolume, initialVolume, type Volume, type VolumeDecision } from './volume.ts';

export type VolumeCommand =
  | RequestVolume
  | RecordVolumeCreated
  | FailVolumeCreation
  | RequestAttach
  | RecordAttached
  | RequestDetach
  | RecordDetached
  | LeaveVm
  | RequestGrow
  | RecordGrown
  | BeginCopy
  | EndCopy
  | FailVolumeAction
  | RequestVolumeDeletion
  | RecordVolumeDeleted
  | FailVolumeDeletion;

const decide = (command: VolumeCommand, volume: Volume): VolumeDecision => {
  switch (command.type) {
    case 'request':
      return requestVolume(command, volume);
    case 'record-created':
      return recordVolumeCreated(command, volume);
    case 'fail-creation':
      return failVolumeCreation(command, volume);
    case 'request-attach':
      return requestAttach(command, volume);
    case 'record-attached':
      return recordAttached(command, volume);
    case 'request-detach':
      return requestDetach(command, volume);
    case 'record-detached':
      return recordDetached(command, volume);
    case 'leave-vm':
      return leaveVm(command, volume);
    case 'request-grow':
      return requestGrow(command, volume);
    case 'record-grown':
      return recordGrown(command, volume);
    case 'begin-copy':
      return beginCopy(command, volume);
    case 'end-copy':
      return endCopy(command, volume);
    case 'fail-action':
      return failVolumeAction(command, volume);
    case 'request-deletion':
      return requestVolumeDeletion(command, volume);
    case 'record-deleted':
      return recordVolumeDeleted(command, volume);
    case 'fail-deletion':
      return failVolumeDeletion(command, volume);
    default:
      return unreachable(command);
  }
};

/** Decides on stream `volume-<uuid>`, which is the volume's id. */
export const volumeDecider: Decider<VolumeCommand, Volume, VolumeEvent, VolumeDecision> = {
  initial: initialVolume,
  decide,
  evolve: evolveVolume,
};
