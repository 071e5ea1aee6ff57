import { z } from 'zod';
import { event, type EventsOf } from '../../define.ts';
import { Cause, Id, Name } from '../../shapes.ts';
import { WorkflowRequest } from '../../workflow.ts';
import { VolumeId, VolumePlace, VolumeSizeMiB } from './shapes.ts';

/** Stream: `volume-<uuid>`, which is the volume's id. An event that carries `request` starts that workflow. */
export const volumeEvents = {
  volumeRequested: event(
    'chrysalis.provisioning.volume.requested.v1',
    'A tenant asked for a volume',
    z.object({ volumeId: VolumeId, name: Name, tenant: Name, pool: Name, sizeMiB: VolumeSizeMiB, request: WorkflowRequest }),
  ),
  volumeCreated: event(
    'chrysalis.provisioning.volume.created.v1',
    'The volume is in its pool, blank; `hostId`, where only that host sees the pool',
    z.object({ volumeId: VolumeId, ...VolumePlace.shape }),
  ),
  volumeCreationFailed: event(
    'chrysalis.provisioning.volume.creation-failed.v1',
    'The volume could not be made; nobody may have it. `left`: a file of it may be in the pool',
    z.object({ volumeId: VolumeId, cause: Cause, left: z.boolean() }),
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
