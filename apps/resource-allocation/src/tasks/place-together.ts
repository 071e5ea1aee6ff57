import type { Refusal } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { place as rank, requestOf } from '@chrysalis/placement';
import { hostDecider, poolDecider, type KnownState } from '@chrysalis/resource-allocation-core';
import { done, type TaskContext, type TaskResult } from '@chrysalis/service-kit';
import { Mutex } from 'async-mutex';
import { FleetView, type FleetLook } from '../fleet-view.ts';
import { byPool } from '../pools/room.ts';
import { holdAll, placedOn, type Placed, type PlaceInput } from './hold-all.ts';
import { WrittenTogether, type Decided } from './written-together.ts';

type Group = { readonly turn: Mutex; readonly written: WrittenTogether; look?: FleetLook };
const GROUP = Symbol('placements');
const groupOf = (kept: Map<symbol, unknown>): Group => {
  const known = kept.get(GROUP) as Group | undefined;
  const group = known ?? { turn: new Mutex(), written: new WrittenTogether() };
  kept.set(GROUP, group);
  return group;
};

/**
 * Placements of one transaction: one look at the fleet for all. The first on a host locks it and its pools and decides on their streams; those
 * that follow it there decide on what is known by then, which nobody else can change, and what they decide is written at once for all.
 * Where one finds no host, or is refused after something was written for it, all of them go one by one.
 */
export const placeTogether = async (input: PlaceInput, ctx: TaskContext, holdsRoom: boolean): Promise<TaskResult<Placed>> => {
  const group = groupOf(ctx.kept!);
  const { output, written } = await group.turn.runExclusive(() => placeNext(input, ctx, group, holdsRoom));
  await written;
  return done(output);
};

/** What is being written is on its way in its place, before anything that is said after this. */
type Next = { readonly output: Placed; readonly written: Promise<void> };

const placeNext = async (input: PlaceInput, ctx: TaskContext, group: Group, holdsRoom: boolean): Promise<Next> => {
  const look = (group.look ??= await FleetView.of(ctx.store).look(ctx.tx));
  const [best] = rank(look.hosts, requestOf(input)).candidates;
  if (!best) throw new Error('no host for one of several');
  const ours = holdsRoom ? undefined : decideOurs(input, best.hostId, look);
  if (ours) {
    look.held(best.hostId, ours.at, ours.pools);
    return { output: ours.output, written: group.written.add(ours.decided, ctx) };
  }
  await group.written.flush();
  const held = await holdAll(input, best.hostId, ctx, look.known(best.hostId));
  if (!held.ok) throw new Error(`${best.hostId} refuses one of several: ${held.rejection.code}`);
  look.held(best.hostId, held.at, held.pools);
  return { output: held.output, written: Promise.resolve() };
};

type Ours = {
  readonly output: Placed;
  readonly at: KnownState;
  readonly pools: Decided['pools'][number]['after'][];
  readonly decided: Decided;
};

/** A VM's hold where host and pools are locked by this transaction; nothing where they are not. Refused: they all go one by one. */
const decideOurs = (input: PlaceInput, hostId: string, look: FleetLook): Ours | undefined => {
  const { consumer, vmId, amounts, room = [] } = input;
  const before = look.ours(hostId);
  if (consumer.kind !== 'vm' || before?.state.status !== 'known') return undefined;
  const wanted = byPool(before.state.facts, room);
  if (!wanted.every((w) => look.ourPool(w.poolId))) return undefined;
  const decision = hostDecider.decide({ type: 'hold', hostId, consumer, vmId, amounts }, before.state);
  if (!decision.ok) throw refusal(hostId, decision.rejection);
  const state = fold(hostDecider.evolve, before.state, decision.events);
  if (state.status !== 'known' || decision.events.length === 0) return undefined;
  const pools = wanted.map(({ poolId, sizeMiB }) => inPool(input, poolId, sizeMiB, look));
  const at = { state, version: before.version + decision.events.length };
  const after = pools.map((p) => p.after);
  const host = { version: before.version, events: decision.events };
  return { at, pools: after, output: placedOn(state, at.version, after), decided: { hostId, consumer, vmId, amounts, host, pools } };
};

const inPool = ({ consumer, vmId }: PlaceInput, poolId: string, sizeMiB: number, look: FleetLook): Decided['pools'][number] => {
  const { pool, version } = look.ourPool(poolId)!;
  const decision = poolDecider.decide({ type: 'hold-room', poolId, consumer, vmId, sizeMiB }, pool);
  if (!decision.ok) throw refusal(poolId, decision.rejection);
  const next = fold(poolDecider.evolve, pool, decision.events);
  if (next.status !== 'known') throw new Error(`${poolId} holds and is not known`);
  return { before: version, after: { pool: next, version: version + decision.events.length }, sizeMiB, events: decision.events };
};

const refusal = (who: string, { code }: Refusal): Error => new Error(`${who} refuses one of several: ${code}`);
