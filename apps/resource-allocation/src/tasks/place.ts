import { consumerText, resourceAllocationTasks as tasks, type InputOf, type Refusal } from '@chrysalis/contracts';
import { both, type Known } from '@chrysalis/event-store';
import type { Host, KnownPool, KnownState } from '@chrysalis/resource-allocation-core';
import { place as rank, requestOf, type Refused } from '@chrysalis/placement';
import {
  done,
  Executor,
  failed,
  OnTask,
  refused,
  type MessageContext,
  type ResultOf,
  type TaskContext,
  type TaskResult,
} from '@chrysalis/service-kit';
import { decideHost, type HostDecided } from '../decide-host.ts';
import { FleetView, type FleetLook } from '../fleet-view.ts';
import { fullPool } from './find-host.ts';
import { lockHosts } from '../sql/hosts.ts';
import { holdRoomOn, poolIdOn } from '../pools/room.ts';
import { lockConsumers, standingOf } from '../sql/ledger.ts';

type PlaceInput = InputOf<typeof tasks.place>;
type Placed = { hostId: string; address: string; generation: number; allocation?: 'full' };

/** How many hosts are asked after ranking: more refusals than this in a row mean that the ranking is far behind. */
const MAX_CANDIDATES = 32;

@Executor()
export class Place {
  @OnTask(tasks.place)
  async place(input: PlaceInput, ctx: TaskContext): ResultOf<typeof tasks.place> {
    const consumer = consumerText(input.consumer);
    const { workflowId, token } = ctx.dispatch;
    // The second sees what others have committed while the lock was waited for.
    const [, { host, released }] = await both(
      ctx.tx,
      () => lockConsumers(ctx.tx, ctx.store.schema, [consumer]),
      () => standingOf(ctx.tx, ctx.store.schema, { consumer, workflow: workflowId, token }),
    );
    if (released)
      return failed({
        code: 'allocation.superseded',
        message: `${consumer} was released by this workflow after this placement was sent`,
        retriable: false,
      });
    return host === null ? placeConsumer(input, ctx) : holdAgain(input, host, ctx);
  }
}

const LOOK = Symbol('fleet');
/** The placements of one transaction look at the fleet once; what they hold themselves they know. */
const lookOf = async (ctx: TaskContext): Promise<FleetLook> => {
  const kept = ctx.kept.get(LOOK) as FleetLook | undefined;
  if (kept) return kept;
  const look = await FleetView.of(ctx.store).look(ctx.tx);
  ctx.kept.set(LOOK, look);
  return look;
};

/** The engine ranks, the host's stream decides; where it refuses, the next candidate. */
const placeConsumer = async (input: PlaceInput, ctx: TaskContext): Promise<TaskResult<Placed>> => {
  const look = await lookOf(ctx);
  const { candidates, refused: reasons } = rank(look.hosts, requestOf(input));
  const late: Refused[] = [];
  for (const { hostId } of candidates.slice(0, MAX_CANDIDATES)) {
    const held = await holdAt(input, hostId, ctx, look);
    if (held.ok) {
      look.held(hostId, held.at, held.pools);
      return done(held.output);
    }
    await ctx.tx.query('rollback to savepoint candidate');
    late.push(lateRefusal(hostId, held.rejection));
  }
  return noHost(input, [...late, ...reasons], candidates.length > late.length);
};

type Held =
  | { readonly ok: true; readonly output: Placed; readonly at: KnownState; readonly pools: readonly KnownPool[] }
  | { readonly ok: false; readonly rejection: Refusal };
/** What was held on a host whose pool then refuses goes with the savepoint. Where both are ours already, they are as they were ranked. */
const holdAt = async (input: PlaceInput, hostId: string, ctx: MessageContext, look: FleetLook): Promise<Held> => {
  const { state, version } = look.known(hostId);
  const pools = state.status === 'known' ? (input.room ?? []).map((r) => poolIdOn(state.facts, r.pool) ?? '') : [''];
  if (look.isOurs(hostId, pools)) {
    const sure = await holdAll(input, hostId, ctx, { state, version, current: true });
    if (!sure.ok) throw new Error(`${hostId} refuses what it was found to have room for: ${sure.rejection.code}`);
    return sure;
  }
  const [, held] = await both(
    ctx.tx,
    () => ctx.tx.query('savepoint candidate'),
    () => holdAll(input, hostId, ctx, { state, version }),
  );
  return held;
};

/** On the host, and in its pools. */
const holdAll = async (input: PlaceInput, hostId: string, ctx: MessageContext, known?: Known<Host>): Promise<Held> => {
  const decided = await holdOn(input, hostId, ctx, known);
  if (!decided.ok) return decided;
  const { state, version } = decided;
  if (state.status === 'unknown') throw new Error(`${hostId} holds but is not known`);
  const { consumer, vmId, room = [] } = input;
  const held = await holdRoomOn(ctx, state.facts, { consumer, vmId, room });
  if (!held.ok) return held;
  const full = held.pools.some((p) => p.settings.allocation === 'full');
  const output = { hostId, address: state.facts.address, generation: version, ...(full ? { allocation: 'full' as const } : {}) };
  return { ok: true, output, at: { state, version }, pools: held.pools };
};

/** Nobody else appends to a host's stream who has not locked its row: at the version that the row has, what is known is all there is. */
const holdOn = async (input: PlaceInput, hostId: string, ctx: MessageContext, known?: Known<Host>): Promise<HostDecided> => {
  const { consumer, vmId, amounts } = input;
  const command = { type: 'hold', hostId, consumer, vmId, amounts } as const;
  if (known?.current) return decideHost(ctx, hostId, command, { known });
  const version = (await lockHosts(ctx.tx, ctx.store.schema, [hostId])).get(hostId);
  return decideHost(ctx, hostId, command, known && { known: { ...known, current: known.version === version } });
};

/** A consumer that holds already gets the same answer. */
const holdAgain = async (input: PlaceInput, hostId: string, ctx: MessageContext): Promise<TaskResult<Placed>> => {
  if (input.host !== undefined && input.host !== hostId)
    return refused({
      code: 'allocation.conflict',
      message: `${consumerText(input.consumer)} holds on ${hostId}, not on ${input.host}`,
      hostId,
    });
  const held = await holdAll(input, hostId, ctx);
  return held.ok ? done(held.output) : refused(held.rejection);
};

const lateRefusal = (hostId: string, { code, ...evidence }: Refusal): Refused => ({
  hostId,
  reasons: [{ policy: 'stream', code, message: 'the host was taken meanwhile', remedy: 'ask again', evidence }],
});

/** The whole answer to "why not": for a pinned host its own first reason is the cause, else that there is none. */
const noHost = (input: PlaceInput, all: readonly Refused[], more: boolean): TaskResult<never> => {
  const asked = all.filter((r) => input.host === undefined || r.hostId === input.host);
  const full = fullPool(asked, input.host !== undefined);
  if (full) return failed(full);
  const text = asked.map((r) => `${r.hostId}: ${r.reasons.map((x) => `${x.code} (${x.message})`).join(', ')}`).join('; ');
  const code = input.host === undefined ? 'placement.no_host' : (asked[0]?.reasons[0].code ?? 'placement.no_host');
  const message = text === '' ? 'no host is known' : text;
  // 100 hosts' reasons are enough for a cause; POST /v1/placements gives them all.
  return failed({ code, message: message.slice(0, 2000), retriable: more, detail: { refused: asked.slice(0, 100) } });
};
