import { consumerText, resourceAllocationTasks as tasks, type Refusal } from '@chrysalis/contracts';
import { both } from '@chrysalis/event-store';
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
import { FleetView } from '../fleet-view.ts';
import { lockConsumers, standingOf } from '../sql/ledger.ts';
import { fullPool } from './find-host.ts';
import { holdAll, type Placed, type PlaceInput } from './hold-all.ts';
import { placeTogether } from './place-together.ts';

/** How many hosts are asked after ranking: more refusals than this in a row mean that the ranking is far behind. */
const MAX_CANDIDATES = 32;

@Executor()
export class Place {
  @OnTask(tasks.place, { abreast: true })
  async place(input: PlaceInput, ctx: TaskContext): ResultOf<typeof tasks.place> {
    const consumer = consumerText(input.consumer);
    const { workflowId, token } = ctx.dispatch;
    // The second sees what others have committed while the lock was waited for.
    const [, standing] = await both(
      ctx.tx,
      () => lockConsumers(ctx.tx, ctx.store.schema, [consumer]),
      () => standingOf(ctx.tx, ctx.store.schema, { consumer, workflow: workflowId, token }),
    );
    if (standing.released)
      return failed({
        code: 'allocation.superseded',
        message: `${consumer} was released by this workflow after this placement was sent`,
        retriable: false,
      });
    if (standing.host !== null) return holdAgain(input, standing.host, ctx);
    return ctx.kept ? placeTogether(input, ctx, standing.room) : placeConsumer(input, ctx);
  }
}

/** The engine ranks, the host's stream decides; where it refuses, the next candidate. */
const placeConsumer = async (input: PlaceInput, ctx: TaskContext): Promise<TaskResult<Placed>> => {
  const look = await FleetView.of(ctx.store).look(ctx.tx);
  const { candidates, refused: reasons } = rank(look.hosts, requestOf(input));
  const late: Refused[] = [];
  for (const { hostId } of candidates.slice(0, MAX_CANDIDATES)) {
    await ctx.tx.query('savepoint candidate'); // what was held on a host whose pool then refuses goes with it
    const held = await holdAll(input, hostId, ctx, look.known(hostId));
    if (held.ok) return done(held.output);
    await ctx.tx.query('rollback to savepoint candidate');
    late.push(lateRefusal(hostId, held.rejection));
  }
  return noHost(input, [...late, ...reasons], candidates.length > late.length);
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
