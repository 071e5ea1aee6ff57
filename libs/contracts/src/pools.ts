import { z } from 'zod';
import { Count, Name, PoolId, Positive } from './shapes.ts';

/** What a host sees of a pool's room. `usedMiB`: what the pool's own files take now; `freeMiB`: what they could take beyond that. */
export const PoolRoom = z.object({ usedMiB: Count, freeMiB: Count });
export type PoolRoom = z.infer<typeof PoolRoom>;
export const PoolSeen = PoolRoom.extend({ poolId: PoolId });
export type PoolSeen = z.infer<typeof PoolSeen>;

export const poolAllocations = ['thin', 'full'] as const;
/** `thin`: files take what was written to them. `full`: what they may ever take, from their making on. */
export const PoolAllocation = z.enum(poolAllocations);
export type PoolAllocation = z.infer<typeof PoolAllocation>;
/** What an administrator says of a pool. `ratioPerMille`: how much may be promised of what there is; above 1000 of thin pools alone. */
export const PoolSettings = z.object({ allocation: PoolAllocation, ratioPerMille: Positive.max(100_000), reservedMiB: Count });
export type PoolSettings = z.infer<typeof PoolSettings>;
export const usualPoolSettings: PoolSettings = { allocation: 'thin', ratioPerMille: 1000, reservedMiB: 0 };

/** What may be held in a pool in all: the one place that says so. What others put on the same file system is no part of it. */
export const poolCapacityMiB = ({ usedMiB, freeMiB }: PoolRoom, { ratioPerMille, reservedMiB }: PoolSettings): number =>
  Math.floor((Math.max(0, usedMiB + freeMiB - reservedMiB) * ratioPerMille) / 1000);

/** By so much that it is told at once: a 64th of the pool, or it is full now, or was. */
export const roomDiffers = (before: PoolRoom, now: PoolRoom): boolean => {
  const part = Math.max(1, Math.floor((before.usedMiB + before.freeMiB) / 64));
  return (
    Math.abs(before.usedMiB - now.usedMiB) >= part ||
    Math.abs(before.freeMiB - now.freeMiB) >= part ||
    (before.freeMiB === 0) !== (now.freeMiB === 0)
  );
};

/**
 * What a VM's own disks take in a pool, in the end; `hasMiB`: what they have there already, and bring along. `from`: the pool that they are in
 * now, where that is known: in another one of that name they have nothing, and are copied there.
 */
export const RoomWanted = z.object({ pool: Name, sizeMiB: Count, hasMiB: Count.optional(), from: PoolId.optional() });
export type RoomWanted = z.infer<typeof RoomWanted>;
/** In the pool that a host means by that name. */
export const broughtMiB = ({ hasMiB = 0, from }: RoomWanted, poolId: string | undefined): number =>
  from !== undefined && poolId !== undefined && from !== poolId ? 0 : hasMiB;
