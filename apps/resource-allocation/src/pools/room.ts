import { broughtMiB, poolConsumerText, type HostFacts, type PoolConsumer, type Refusal, type RoomWanted } from '@chrysalis/contracts';
import type { PoolCommand } from '@chrysalis/resource-allocation-core';
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
  for (const { poolId, ...wanted } of byPool(facts, room)) {
    const { sizeMiB } = wanted;
    const hasMiB = broughtMiB(wanted, poolId);
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

/**
 * What the move held becomes the VM's, which then holds what it has: in each pool that its disks are in. `left`: pools that the VM's new host does
 * not have; its disks were copied from there, and their files are gone. All by their ids, so that two who go opposite ways do not wait for
 * each other.
 */
export const swapRoomOn = async (ctx: MessageContext, facts: HostFacts, { moveId, vmId, room, left }: Swapped): Promise<void> => {
  const swaps = byPool(facts, room).map(({ poolId, sizeMiB }): PoolCommand => ({ type: 'swap-room', poolId, moveId, vmId, sizeMiB }));
  const reason = `its disks were copied by ${moveId}`;
  const consumer = { kind: 'vm', id: vmId } as const;
  const releases = left.map((poolId): PoolCommand => ({ type: 'release-room', poolId, consumer, reason }));
  for (const command of [...swaps, ...releases].sort((a, b) => (a.poolId < b.poolId ? -1 : 1))) {
    const decided = await decidePool(ctx, command);
    if (!decided.ok) throw new Error(`${moveId} cannot give ${vmId} its room in ${command.poolId}: ${decided.rejection.code}`);
  }
};
type Swapped = { readonly moveId: string; readonly vmId: string; readonly room: readonly RoomWanted[]; readonly left: readonly string[] };

/** Of a host that says nothing of its pools nothing is known, and nothing is let go. */
export const poolsLeft = async (ctx: MessageContext, facts: HostFacts, vmId: string): Promise<string[]> => {
  if (!facts.pools?.length) return [];
  const held = await poolsHeldBy(ctx.tx, ctx.store.schema, [poolConsumerText({ kind: 'vm', id: vmId })]);
  return held.filter((poolId) => !facts.pools!.some((p) => p.poolId === poolId));
};
