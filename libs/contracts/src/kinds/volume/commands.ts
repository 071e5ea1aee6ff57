import { z } from 'zod';
import { command } from '../../commands.ts';
import { DEFAULT_POOL, Id, Name } from '../../shapes.ts';
import { VolumeId, VolumeSizeMiB } from './shapes.ts';

const Accepted = z.object({ operation: Id, volumeId: VolumeId });

/** Each is declared once for its route and for `chrysalis.commands`. */
export const volumeCommands = {
  createVolume: command('chrysalis.provisioning.volume.create.v1', 'Ask for a volume, blank', {
    body: z.strictObject({
      name: Name,
      sizeMiB: VolumeSizeMiB,
      pool: Name.default(DEFAULT_POOL),
      /** Makes it; where only that host sees the pool, it stays there. */
      host: Name.optional(),
    }),
    answer: Accepted,
  }),
  deleteVolume: command('chrysalis.provisioning.volume.delete.v1', 'Ask to delete a volume', {
    params: ['id'],
    body: z.strictObject({}),
    answer: Accepted,
  }),
};
