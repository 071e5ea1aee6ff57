import { poolCapacityMiB, resourceAllocationEvents as events, type DataOf, type PoolRoom, type PoolSettings } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { PoolView } from '@chrysalis/placement';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';

const { poolRegistered, poolRoomReported, poolSettingsChanged, poolRoomHeld, poolRoomReleased, poolRoomSwapped } = events;
type PoolDoc = Readonly<{ name: string; room: PoolRoom; settings: PoolSettings; heldMiB: number }>;
type Held = DataOf<typeof poolRoomHeld | typeof poolRoomReleased | typeof poolRoomSwapped>;

/** What plans look at of storage pools: how much may be promised, and how much is. Who holds what in them is not asked. */
@Consumer('known-pools', { view: true })
export class KnownPools {
  @OnEvent(poolRegistered)
  registered({ name, room, settings }: DataOf<typeof poolRegistered>, ctx: EventContext): Promise<void> {
    return write(ctx, { name, room, settings, heldMiB: 0 });
  }

  @OnEvent(poolRoomReported)
  reported({ room }: DataOf<typeof poolRoomReported>, ctx: EventContext): Promise<void> {
    return write(ctx, { room });
  }

  @OnEvent(poolSettingsChanged)
  changed({ settings }: DataOf<typeof poolSettingsChanged>, ctx: EventContext): Promise<void> {
    return write(ctx, { settings });
  }

  @OnEvent(poolRoomHeld, poolRoomReleased, poolRoomSwapped)
  held({ heldMiB }: Held, ctx: EventContext): Promise<void> {
    return write(ctx, { heldMiB });
  }
}

const write = async ({ event, tx, store }: EventContext, members: Partial<PoolDoc>): Promise<void> => {
  await tx.query(
    `insert into ${store.schema}.known_pools as k (pool_id, version, pool) values ($1, $2, $3)
     on conflict (pool_id) do update set version = excluded.version, pool = k.pool || excluded.pool where k.version < excluded.version`,
    [event.subject, Number(event.streamversion), JSON.stringify(members)],
  );
};

export const knownPools = async (q: Queryable, schema: string): Promise<ReadonlyMap<string, PoolView>> => {
  const { rows } = await q.query<{ pool_id: string; pool: PoolDoc }>(
    `select pool_id, pool from ${schema}.known_pools where pool ?& array['room', 'settings', 'heldMiB']`,
  );
  return new Map(
    rows.map(({ pool_id: poolId, pool: { name, room, settings, heldMiB } }) => [
      poolId,
      { poolId, name, capacityMiB: poolCapacityMiB(room, settings), heldMiB },
    ]),
  );
};
