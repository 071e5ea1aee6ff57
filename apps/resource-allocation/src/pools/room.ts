import type { HostFacts, PoolConsumer, Refusal, RoomWanted } from '@chrysalis/contracts';
import type { MessageContext } from '@chrysalis/service-kit';
import { poolsHeldBy, type PoolAt } from '../sql/pools.ts';
import { decidePool } from './decide-pool.ts';

/** Which pool a host means by that name; undefined: it says nothing of its pools, and nothing of them is held. */
export const poolIdOn = (facts: HostFacts, pool: string): string | undefined => facts.pools?.find((p) => p.name === pool)?.poolId;

/** By the pools' ids, as everybody who locks several does. */
export const byPool = (facts: HostFacts, room: readonly RoomWanted[]): (RoomWanted & { readonly poolId: string })[] =>
  room
    .flatMap((r) => {
      const poolId = poolIdOn(facts, r.pool);
      return poolId === undefined ? [] : [{ ...r, poolId }];
    })
    .sort((a, b) => (a.poolId < b.poolId ? -1 : 1));

type Asked = Readonly<{ consumer: PoolConsumer; vmId: string; room: readonly RoomWanted[] }>;
export type RoomHeld = { readonly ok: true; readonly pools: readonly PoolAt[] } | { readonly ok: false; readonly rejection: Refusal };

/** What a VM's own disks take in the pools of a host, held for the VM or, beyond what the VM holds already, for a move of it. */
export const holdRoomOn = async (ctx: MessageContext, facts: HostFacts, { consumer, vmId, room }: Asked): Promise<RoomHeld> => {
  const pools: PoolAt[] = [];
  for (const { poolId, sizeMiB, hasMiB = 0 } of byPool(facts, room)) {
    const decided = await decidePool(
      ctx,
      consumer.kind === 'move'
        ? { type: 'hold-growth', poolId, moveId: consumer.id, vmId, sizeMiB, hasMiB }
        : { type: 'hold-room', poolId, consumer, vmId, sizeMiB },
    );
    if (!decided.ok) return decided;
    const { pool, version } = decided;
    if (pool.status === 'known') pools.push({ pool, version });
  }
  return { ok: true, pools };
};

/** Wherever it holds any. */
export const releaseRoomOf = async (ctx: MessageContext, consumer: PoolConsumer, text: string, reason: string): Promise<void> => {
  for (const poolId of await poolsHeldBy(ctx.tx, ctx.store.schema, [text])) {
    const decided = await decidePool(ctx, { type: 'release-room', poolId, consumer, reason });
    if (!decided.ok) throw new Error(`${text} cannot let go of ${poolId}: ${decided.rejection.code}`);
  }
};

/** What the move held becomes the VM's, which then holds what it has: in each pool that its disks are in. */
export const swapRoomOn = async (
  ctx: MessageContext,
  facts: HostFacts,
  { moveId, vmId, room }: { moveId: string; vmId: string; room: readonly RoomWanted[] },
): Promise<void> => {
  for (const { poolId, sizeMiB } of byPool(facts, room)) {
    const decided = await decidePool(ctx, { type: 'swap-room', poolId, moveId, vmId, sizeMiB });
    if (!decided.ok) throw new Error(`${moveId} cannot give ${vmId} its room in ${poolId}: ${decided.rejection.code}`);
  }
};
