import { z } from 'zod';
import { event, type EventsOf } from '../../define.ts';
import { Cause, Id, Name } from '../../shapes.ts';
import { WorkflowRequest } from '../../workflow.ts';
import { VolumeAction, VolumeId, VolumePlace, VolumeSizeMiB, VolumeSource } from './shapes.ts';

/** Stream: `volume-<uuid>`, which is the volume's id. An event that carries `request` starts that workflow. */
export const volumeEvents = {
  volumeRequested: event(
    'chrysalis.provisioning.volume.requested.v1',
    'A tenant asked for a volume',
    z.object({
      volumeId: VolumeId,
      name: Name,
      tenant: Name,
      pool: Name,
      sizeMiB: VolumeSizeMiB,
      from: VolumeSource.optional(),
      request: WorkflowRequest,
    }),
  ),
  volumeCreated: event(
    'chrysalis.provisioning.volume.created.v1',
    'The volume is in its pool; `hostId`, where only that host sees the pool',
    z.object({ volumeId: VolumeId, ...VolumePlace.shape }),
  ),
  volumeCreationFailed: event(
    'chrysalis.provisioning.volume.creation-failed.v1',
    'The volume could not be made; nobody may have it. `left`: a file of it may be in the pool',
    z.object({ volumeId: VolumeId, cause: Cause, left: z.boolean() }),
  ),
  volumeAttachRequested: event(
    'chrysalis.provisioning.volume.attach-requested.v1',
    'The volume is to be a disk of this VM; nobody else may have it until that has ended',
    z.object({ volumeId: VolumeId, vmId: Id, request: WorkflowRequest }),
  ),
  volumeAttached: event(
    'chrysalis.provisioning.volume.attached.v1',
    'The VM has the volume. `seen`: its guest shows it; absent: there was nobody in it to ask, or it is off',
    z.object({ volumeId: VolumeId, vmId: Id, workflowId: Id, seen: z.literal(true).optional() }),
  ),
  volumeDetachRequested: event(
    'chrysalis.provisioning.volume.detach-requested.v1',
    'The volume is to be taken from its VM; `force`: whether or not the guest uses it',
    z.object({ volumeId: VolumeId, vmId: Id, force: z.boolean(), request: WorkflowRequest }),
  ),
  volumeDetached: event(
    'chrysalis.provisioning.volume.detached.v1',
    'The VM does not have the volume any more',
    z.object({ volumeId: VolumeId, vmId: Id, why: z.enum(['asked', 'vm-deleted']) }),
  ),
  volumeGrowRequested: event(
    'chrysalis.provisioning.volume.grow-requested.v1',
    'The volume is to have this size',
    z.object({ volumeId: VolumeId, sizeMiB: VolumeSizeMiB, request: WorkflowRequest }),
  ),
  volumeGrown: event(
    'chrysalis.provisioning.volume.grown.v1',
    'The volume has this size; `seen`: the guest of its VM shows it',
    z.object({ volumeId: VolumeId, sizeMiB: VolumeSizeMiB, workflowId: Id, seen: z.literal(true).optional() }),
  ),
  volumeCopyBegun: event(
    'chrysalis.provisioning.volume.copy-begun.v1',
    'Another volume is being made of this one; nobody may write to it until that has ended',
    z.object({ volumeId: VolumeId, to: VolumeId, workflowId: Id }),
  ),
  volumeCopyEnded: event(
    'chrysalis.provisioning.volume.copy-ended.v1',
    'The other volume was made of this one, or was given up',
    z.object({ volumeId: VolumeId, to: VolumeId, workflowId: Id }),
  ),
  volumeActionFailed: event(
    'chrysalis.provisioning.volume.action-failed.v1',
    'What was asked of the volume did not come to its end; it is as it was before. `left`: the VM may have it all the same, and so it counts as its',
    z.object({
      volumeId: VolumeId,
      action: VolumeAction,
      workflowId: Id,
      vmId: Id.optional(),
      left: z.literal(true).optional(),
      cause: Cause,
    }),
  ),
  volumeDeletionRequested: event(
    'chrysalis.provisioning.volume.deletion-requested.v1',
    'The volume is to be deleted',
    z.object({ volumeId: VolumeId, request: WorkflowRequest }),
  ),
  volumeDeletionFailed: event(
    'chrysalis.provisioning.volume.deletion-failed.v1',
    'The deletion did not come to its end; the volume is as it was before, and may be deleted again',
    z.object({ volumeId: VolumeId, workflowId: Id, cause: Cause }),
  ),
  volumeDeleted: event('chrysalis.provisioning.volume.deleted.v1', 'The volume is gone', z.object({ volumeId: VolumeId })),
} as const;
export type VolumeEvent = EventsOf<typeof volumeEvents>;
