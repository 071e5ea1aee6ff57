import {
  poolCapacityMiB,
  poolConsumerText,
  type Coded,
  type PoolConsumer,
  type PoolRoom,
  type PoolSettings,
  type ResourceAllocationEvent,
} from '@chrysalis/contracts';
import { unreachable } from '@chrysalis/kernel';

/** Of streams `pool-<uuid>`. */
export type PoolEvent = Extract<ResourceAllocationEvent, { type: `chrysalis.resource-allocation.pool.${string}` }>;

/**
 * The state of a pool's stream. `holds` may be a part of all there are, those of the consumers that a command is about, as long as `heldMiB` is
 * the sum of all: a pool of ten thousand VMs is not read whole for each.
 */
export type KnownPool = Readonly<{
  status: 'known';
  poolId: string;
  name: string;
  kind: string;
  room: PoolRoom;
  settings: PoolSettings;
  heldMiB: number;
  holds: ReadonlyMap<string, number>;
}>;
export type Pool = Readonly<{ status: 'unknown' }> | KnownPool;
export const initialPool: Pool = { status: 'unknown' };

export type PoolRejection = Coded<
  | { readonly code: 'pool.unknown'; readonly poolId: string }
  | {
      readonly code: 'pool.capacity_exceeded';
      readonly poolId: string;
      readonly message: string;
      readonly requestedMiB: number;
      readonly freeMiB: number;
      readonly capacityMiB: number;
    }
  | { readonly code: 'pool.overcommit_refused'; readonly poolId: string; readonly message: string; readonly ratioPerMille: number }
>;

export const capacityOfPool = ({ room, settings }: Pick<KnownPool, 'room' | 'settings'>): number => poolCapacityMiB(room, settings);
export const heldIn = (pool: KnownPool, consumer: PoolConsumer): number | undefined => pool.holds.get(poolConsumerText(consumer));

export const evolvePool = (pool: Pool, e: PoolEvent): Pool => {
  if (e.type === 'chrysalis.resource-allocation.pool.registered.v1') {
    const { poolId, name, kind, room, settings } = e.data;
    return { status: 'known', poolId, name, kind, room, settings, heldMiB: 0, holds: new Map() };
  }
  if (pool.status === 'unknown') return pool;
  switch (e.type) {
    case 'chrysalis.resource-allocation.pool.room-reported.v1':
      return { ...pool, room: e.data.room };
    case 'chrysalis.resource-allocation.pool.settings-changed.v1':
      return { ...pool, settings: e.data.settings };
    case 'chrysalis.resource-allocation.pool.room-held.v1':
      return holding(pool, e.data.consumer, e.data.sizeMiB);
    case 'chrysalis.resource-allocation.pool.room-released.v1':
      return holding(pool, e.data.consumer, undefined);
    case 'chrysalis.resource-allocation.pool.room-swapped.v1': {
      const { moveId, vmId, sizeMiB } = e.data;
      return holding(holding(pool, { kind: 'move', id: moveId }, undefined), { kind: 'vm', id: vmId }, sizeMiB);
    }
    default:
      return unreachable(e);
  }
};

const holding = (pool: KnownPool, consumer: PoolConsumer, sizeMiB: number | undefined): KnownPool => {
  const text = poolConsumerText(consumer);
  const holds = new Map(pool.holds);
  const before = holds.get(text) ?? 0;
  if (sizeMiB === undefined) holds.delete(text);
  else holds.set(text, sizeMiB);
  return { ...pool, holds, heldMiB: pool.heldMiB + (sizeMiB ?? 0) - before };
};
