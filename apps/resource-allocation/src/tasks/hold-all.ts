import type { InputOf, Refusal, resourceAllocationTasks } from '@chrysalis/contracts';
import type { KnownHost, KnownState } from '@chrysalis/resource-allocation-core';
import type { MessageContext } from '@chrysalis/service-kit';
import { decideHost, type HostDecided } from '../decide-host.ts';
import { holdRoomOn } from '../pools/room.ts';
import { lockHosts } from '../sql/hosts.ts';
import type { PoolAt } from '../sql/pools.ts';

export type PlaceInput = InputOf<typeof resourceAllocationTasks.place>;
export type Placed = { hostId: string; address: string; generation: number; allocation?: 'full' };

type Held =
  | { readonly ok: true; readonly output: Placed; readonly at: KnownState; readonly pools: readonly PoolAt[] }
  | { readonly ok: false; readonly rejection: Refusal };
/** On the host, and in its pools. */
export const holdAll = async (input: PlaceInput, hostId: string, ctx: MessageContext, known?: KnownState): Promise<Held> => {
  const decided = await holdOn(input, hostId, ctx, known);
  if (!decided.ok) return decided;
  const { state, version } = decided;
  if (state.status === 'unknown') throw new Error(`${hostId} holds but is not known`);
  const { consumer, vmId, room = [] } = input;
  const held = await holdRoomOn(ctx, state.facts, { consumer, vmId, room });
  if (!held.ok) return held;
  const { pools } = held;
  return { ok: true, output: placedOn(state, version, pools), at: { state, version }, pools };
};

export const placedOn = ({ facts: { hostId, address } }: KnownHost, generation: number, pools: readonly PoolAt[]): Placed => {
  const full = pools.some(({ pool }) => pool.settings.allocation === 'full');
  return { hostId, address, generation, ...(full ? { allocation: 'full' } : {}) };
};

/** Nobody else appends to a host's stream who has not locked its row: at the version that the row has, what is known is all there is. */
const holdOn = async (input: PlaceInput, hostId: string, ctx: MessageContext, known?: KnownState): Promise<HostDecided> => {
  const { consumer, vmId, amounts } = input;
  const version = (await lockHosts(ctx.tx, ctx.store.schema, [hostId])).get(hostId);
  const state = known && { known: { ...known, current: known.version === version } };
  return decideHost(ctx, hostId, { type: 'hold', hostId, consumer, vmId, amounts }, state);
};
