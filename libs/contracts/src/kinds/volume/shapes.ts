import { z } from 'zod';
import { Image, Name, PoolId, Positive } from '../../shapes.ts';

/** 1 TiB. */
export const VolumeSizeMiB = Positive.max(1_048_576);
export const volumeStates = ['creating', 'available', 'attached', 'deleting', 'deleted', 'failed'] as const;
/** `copy`: another volume is made of it. */
export const volumeActions = ['attach', 'detach', 'grow', 'copy'] as const;
export const VolumeAction = z.enum(volumeActions);
export type VolumeAction = z.infer<typeof VolumeAction>;

/** Where its file is: `hostId` of a pool that one host alone sees; `poolId`, where hosts say which pool that is. */
export const VolumePlace = z.object({ pool: Name, poolId: PoolId.optional(), hostId: Name.optional() });

/** `volume-<uuid>`: the id is its stream, and a part of its file's name. */
const ID = String.raw`volume-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`;
export const VolumeId = z.string().regex(new RegExp(`^${ID}$`));
/** What it is to have in the beginning; without one it is blank. */
export const VolumeSource = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('image'), image: Image }),
  z.object({ kind: z.literal('volume'), volumeId: VolumeId }),
]);
export type VolumeSource = z.infer<typeof VolumeSource>;

/**
 * The file of a volume in its pool. No disk of a VM's own has such a name (those begin with their VM's id), so that whoever ends a VM knows
 * which of its disks are not its own.
 */
export const volumeFile = (volumeId: string): string => `${volumeId}.qcow2`;
const FILE = new RegExp(String.raw`^${ID}\.qcow2$`);
/** Whether the file of a disk is a volume that is a resource of its own: it is never made or deleted along with a VM. */
export const isVolumeFile = (file: string): boolean => FILE.test(file);
