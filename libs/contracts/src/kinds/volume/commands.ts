import { z } from 'zod';
import { command } from '../../commands.ts';
import { DEFAULT_POOL, Id, Name } from '../../shapes.ts';
import { VolumeId, VolumeSizeMiB, volumeStates } from './shapes.ts';

const Accepted = z.object({ operation: Id, volumeId: VolumeId });

/** Without an operation it is so already. */
const Acted = z.object({ volumeId: VolumeId, state: z.enum(volumeStates), operation: Id.optional() });

/** Each is declared once for its route and for `chrysalis.commands`. */
export const volumeCommands = {
  createVolume: command('chrysalis.provisioning.volume.create.v1', 'Ask for a volume, blank or with what an image or another volume has', {
    body: z.strictObject({
      name: Name,
      /** Without it, as large as what it is made of; of a blank one it has to be said. */
      sizeMiB: VolumeSizeMiB.optional(),
      from: z
        .union([
          /** `debian@1`, or `debian` for its newest version: a disk. */
          z.strictObject({ image: z.string().max(80) }),
          /** One that no VM has, and that is not written meanwhile. */
          z.strictObject({ volume: VolumeId }),
        ])
        .optional(),
      pool: Name.default(DEFAULT_POOL),
      /** Makes it; where only that host sees the pool, it stays there. */
      host: Name.optional(),
    }),
    answer: Accepted,
  }),
  attachVolume: command('chrysalis.provisioning.volume.attach.v1', 'Ask that a VM has the volume, running or off', {
    params: ['id'],
    body: z.strictObject({ vm: Id }),
    answer: Acted,
  }),
  detachVolume: command(
    'chrysalis.provisioning.volume.detach.v1',
    'Ask that the volume’s VM has it no more; refused while its guest uses it',
    {
      params: ['id'],
      body: z.strictObject({
        /** Whether or not the guest uses it: what it has not written yet is lost. */
        force: z.boolean().optional(),
      }),
      answer: Acted,
    },
  ),
  growVolume: command('chrysalis.provisioning.volume.grow.v1', 'Ask that the volume has this size', {
    params: ['id'],
    body: z.strictObject({ sizeMiB: VolumeSizeMiB }),
    answer: Acted,
  }),
  deleteVolume: command('chrysalis.provisioning.volume.delete.v1', 'Ask to delete a volume', {
    params: ['id'],
    body: z.strictObject({}),
    answer: Accepted,
  }),
};
