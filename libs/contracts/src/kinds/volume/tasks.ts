import { z } from 'zod';
import { task } from '../../define.ts';
import { PoolAllocation } from '../../pools.ts';
import { Count, Disk, Id, Image, Name, PoolId, Positive, Sha256, Topology, VolumeName } from '../../shapes.ts';
import { onVm, shaped } from '../../tasks/common.ts';
import { VolumeId, VolumePlace } from './shapes.ts';

const none = z.object({});
const file = { pool: Name, volume: VolumeName };

/** Of provisioning: what the volume's stream is told. */
export const volumeTasks = {
  recordVolumeCreated: task(
    'provisioning',
    'volume.record-created',
    'Record that the volume is in its pool',
    z.object({ volumeId: VolumeId, hostId: Name, poolId: PoolId.optional(), shared: z.boolean() }),
    VolumePlace,
  ),
  failVolumeCreation: task(
    'provisioning',
    'volume.fail-creation',
    'Compensation of its record: nobody may have the volume from here on; refused where a VM has it',
    z.object({ volumeId: VolumeId }),
    none,
  ),
  recordVolumeAttached: task(
    'provisioning',
    'volume.record-attached',
    'Record that the VM has the volume, and its hardware; refused where that is not asked for any more',
    z.object({ volumeId: VolumeId, vmId: Id, topology: Topology, topologyHash: Sha256, seen: z.boolean().optional() }),
    none,
  ),
  recordVolumeDetached: task(
    'provisioning',
    'volume.record-detached',
    'Record that the VM has the volume no more, and its hardware',
    z.object({ volumeId: VolumeId, vmId: Id, topology: Topology, topologyHash: Sha256 }),
    none,
  ),
  recordVolumeGrown: task(
    'provisioning',
    'volume.record-grown',
    'Record the size of the volume, and the hardware of the VM that has it',
    z.object({
      volumeId: VolumeId,
      sizeMiB: Positive,
      vmId: Id.optional(),
      topology: Topology.optional(),
      topologyHash: Sha256.optional(),
      seen: z.boolean().optional(),
    }),
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

/** `seen`: the guest shows it; absent: there is nobody in it to ask, or it is off. */
const delivered = shaped.extend({ seen: z.literal(true).optional() });

/** Of executor `host:<hostId>`: files in its pools. */
export const volumeHostTasks = {
  createVolume: task(
    'agent-gateway',
    'host.create-volume',
    'Make a volume in a pool of this host, blank or as a copy; one of that name and size that is there is the answer',
    z.object({
      ...file,
      sizeMiB: Positive,
      allocation: PoolAllocation.optional(),
      /** A copy of all of it, compared with what it was made of before it has its name. */
      from: z
        .discriminatedUnion('kind', [
          z.object({ kind: z.literal('image'), image: Image }),
          z.object({ kind: z.literal('volume'), ...file }),
        ])
        .optional(),
    }),
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
  growVolume: task(
    'agent-gateway',
    'host.grow-volume',
    'Grow a volume that no VM has; one that has the size is grown, none becomes smaller',
    z.object({ ...file, sizeMiB: Positive }),
    none,
  ),
  attachVolume: task(
    'agent-gateway',
    'host.attach-volume',
    'Plug a volume, also into a VM that is off; done when the guest shows it, or nobody in it can be asked',
    z.object({ ...onVm, disk: Disk.omit({ port: true }) }),
    delivered,
  ),
  detachVolume: task(
    'agent-gateway',
    'host.detach-volume',
    'Unplug a volume; done when the guest let it go. Refused, unless told, while the guest uses it or nobody in it can say',
    z.object({ ...onVm, disk: VolumeId, force: z.boolean() }),
    shaped,
  ),
  growAttachedVolume: task(
    'agent-gateway',
    'host.grow-attached-volume',
    'Grow a volume that a VM has, running or off; done when the guest shows it, or nobody in it can be asked',
    z.object({ ...onVm, disk: VolumeId, sizeMiB: Positive }),
    delivered,
  ),
};
