import { z } from 'zod';
import { task } from '../../define.ts';
import { Count, Name, Positive, VolumeName } from '../../shapes.ts';
import { VolumeId, VolumePlace } from './shapes.ts';

const none = z.object({});
const file = { pool: Name, volume: VolumeName };

/** Of provisioning: what the volume's stream is told. */
export const volumeTasks = {
  recordVolumeCreated: task(
    'provisioning',
    'volume.record-created',
    'Record that the volume is in its pool',
    z.object({ volumeId: VolumeId, hostId: Name, shared: z.boolean() }),
    VolumePlace,
  ),
  failVolumeCreation: task(
    'provisioning',
    'volume.fail-creation',
    'Compensation of its record: nobody may have the volume from here on; refused where a VM has it',
    z.object({ volumeId: VolumeId }),
    none,
  ),
  recordVolumeDeleted: task(
    'provisioning',
    'volume.record-deleted',
    'Record that the volume is gone',
    z.object({ volumeId: VolumeId }),
    none,
  ),
};

/** Of executor `host:<hostId>`: files in its pools. */
export const volumeHostTasks = {
  createVolume: task(
    'agent-gateway',
    'host.create-volume',
    'Make a blank volume in a pool of this host; one of that name and size that is there is the answer',
    z.object({ ...file, sizeMiB: Positive }),
    /** `shared`: other hosts see it too. `bytes`: what it takes now. */
    z.object({ shared: z.boolean(), bytes: Count }),
  ),
  deleteVolume: task(
    'agent-gateway',
    'host.delete-volume',
    'Delete a volume that no VM has; one that is gone is deleted',
    z.object(file),
    none,
  ),
};
