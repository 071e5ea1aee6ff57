import { z } from 'zod';
import { Name, Positive } from '../../shapes.ts';

/** 1 TiB. */
export const VolumeSizeMiB = Positive.max(1_048_576);
export const volumeStates = ['creating', 'available', 'attached', 'deleting', 'deleted', 'failed'] as const;
export const volumeActions = ['attach', 'detach', 'grow'] as const;
export const VolumeAction = z.enum(volumeActions);
export type VolumeAction = z.infer<typeof VolumeAction>;

/** Where its file is: `hostId` of a pool that one host alone sees. */
export const VolumePlace = z.object({ pool: Name, hostId: Name.optional() });

/** `volume-<uuid>`: the id is its stream, and a part of its file's name. */
const ID = String.raw`volume-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`;
export const VolumeId = z.string().regex(new RegExp(`^${ID}$`));
/**
 * The file of a volume in its pool. No disk of a VM's own has such a name (those begin with their VM's id), so that whoever ends a VM knows
 * which of its disks are not its own.
 */
export const volumeFile = (volumeId: string): string => `${volumeId}.qcow2`;
const FILE = new RegExp(String.raw`^${ID}\.qcow2$`);
/** Whether the file of a disk is a volume that is a resource of its own: it is never made or deleted along with a VM. */
export const isVolumeFile = (file: string): boolean => FILE.test(file);
