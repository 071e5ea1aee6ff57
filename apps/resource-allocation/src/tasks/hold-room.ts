import { resourceAllocationTasks as tasks, type InputOf, type OutputOf } from '@chrysalis/contracts';
import { findHost } from '@chrysalis/placement';
import { done, Executor, failed, OnTask, refused, type ResultOf, type TaskContext } from '@chrysalis/service-kit';
import { FleetView } from '../fleet-view.ts';
import { decidePool } from '../pools/decide-pool.ts';
import { poolIdOn, releaseRoomOf } from '../pools/room.ts';
import { lockConsumers, noteRelease, releasedSince } from '../sql/ledger.ts';
import { heldBy } from '../sql/pools.ts';
import { noHostFor } from './find-host.ts';

type Input = InputOf<typeof tasks.holdRoom>;
type Output = OutputOf<typeof tasks.holdRoom>;

/** The room of volumes in pools. A volume's consumer is its id. */
@Executor()
export class HoldRoom {
  /** The pool's stream decides; that a host reaches it is what is known. Where the volume is in a pool already it is that one alone. */
  @OnTask(tasks.holdRoom)
  async holdRoom(input: Input, ctx: TaskContext): ResultOf<typeof tasks.holdRoom> {
    const { schema } = ctx.store;
    const { volumeId, sizeMiB } = input;
    const text = `volume:${volumeId}`;
    await lockConsumers(ctx.tx, schema, [text]);
    const { workflowId, token } = ctx.dispatch;
    if (await releasedSince(ctx.tx, schema, text, workflowId, token))
      return failed({ code: 'allocation.superseded', message: `${text} was released after this was sent`, retriable: false });
    const held = await heldBy(ctx.tx, schema, text);
    const poolId = held?.poolId ?? input.poolId;
    const moreMiB = Math.max(0, sizeMiB - (held?.sizeMiB ?? 0));
    const hosts = await FleetView.of(ctx.store).hosts(ctx.tx);
    const { candidates, refused: against } = findHost(hosts, { ...input, poolId, moreMiB });
    const hostId = candidates[0]?.hostId;
    if (hostId === undefined) return noHostFor(input.host, against);
    const { facts } = hosts.find((h) => h.facts.hostId === hostId)!;
    const at = poolIdOn(facts, input.pool);
    if (at === undefined) return done({ hostId });
    const decided = await decidePool(ctx, { type: 'hold-room', poolId: at, consumer: { kind: 'volume', id: volumeId }, sizeMiB });
    if (!decided.ok) return refused(decided.rejection);
    const full = decided.pool.status === 'known' && decided.pool.settings.allocation === 'full';
    return done<Output>({ hostId, poolId: at, ...(full ? { allocation: 'full' } : {}) });
  }

  /** Also where it holds nothing: it is noted, so that a hold of the same workflow that was sent before and comes late is refused. */
  @OnTask(tasks.releaseRoom)
  async releaseRoom({ volumeId, toMiB, reason }: InputOf<typeof tasks.releaseRoom>, ctx: TaskContext): ResultOf<typeof tasks.releaseRoom> {
    const { schema } = ctx.store;
    const text = `volume:${volumeId}`;
    const consumer = { kind: 'volume', id: volumeId } as const;
    await lockConsumers(ctx.tx, schema, [text]);
    await noteRelease(ctx.tx, schema, text, ctx.dispatch.workflowId, ctx.dispatch.token);
    if (toMiB === 0) await releaseRoomOf(ctx, consumer, text, reason.slice(0, 255));
    const held = toMiB > 0 ? await heldBy(ctx.tx, schema, text) : undefined;
    if (held) {
      const lowered = await decidePool(ctx, { type: 'lower-room', poolId: held.poolId, consumer, sizeMiB: toMiB });
      if (!lowered.ok) return refused(lowered.rejection);
    }
    return done({});
  }
}
