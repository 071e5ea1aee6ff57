import { migrationTemplatesTasks, workflowEvents as events, type DataOf } from '@chrysalis/contracts';
import { controlPlaneMs, figuresOf, moveState, optionsQueryDecider } from '@chrysalis/migration-templates-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { noMoreApproval } from '../approvals/approvals.ts';
import { beginMove, endMove, moveOf, tasksOf, updateTask, type MoveRow, type TaskState } from '../sql/moves.ts';
import { runGivenOut } from '../runs/run-task.ts';
import { runsCancelled } from '../runs/step.ts';
import { CANCELLED, OVER } from '../runs/stops.ts';
import { goesOn, moveChanged } from './move-changes.ts';
import { setOn } from './set-on.ts';
import { MOVE } from './start-move.ts';

type Told<K extends keyof typeof events> = DataOf<(typeof events)[K]>;
const open: readonly TaskState[] = ['pending', 'running', 'failed'];

const { instanceStarted, taskDispatched, taskSucceeded, taskFailed, taskSkipped, taskCompensated } = events;
/** What these tell is kept of moves alone, whose workflows have ids of their own: see start-move.ts. */
const ofMovesAlone = new Set<string>(
  [instanceStarted, taskDispatched, taskSucceeded, taskFailed, taskSkipped, taskCompensated].map((c) => c.type),
);
const concernsMoves = ({ type, data }: { readonly type: string; readonly data: unknown }): boolean => {
  if (!ofMovesAlone.has(type)) return true;
  const { workflowId, kind } = (data ?? {}) as { workflowId?: unknown; kind?: unknown };
  return typeof workflowId !== 'string' || workflowId.startsWith(`${MOVE}-`) || kind === migrationTemplatesTasks.run.kind;
};

/** The workflows of moves, as they go; the events of one workflow come in order. Others pass by: their id is no move's. */
@Consumer('moves', { wants: concernsMoves })
export class Moves {
  @OnEvent(events.instanceStarted)
  async started({ workflowId, at }: Told<'instanceStarted'>, { tx, store }: EventContext): Promise<void> {
    await beginMove(tx, store.schema, workflowId, at);
  }

  @OnEvent(events.taskDispatched)
  async dispatched(data: Told<'taskDispatched'>, ctx: EventContext): Promise<void> {
    const { workflowId, task, kind, action, at } = data;
    const { tx, store } = ctx;
    if (action === 'run' && kind === migrationTemplatesTasks.run.kind) await runGivenOut(data, ctx);
    if (action === 'run')
      await updateTask(tx, store.schema, { moveId: workflowId, task, state: 'running', startedAt: at, from: ['pending', 'failed'] });
  }

  @OnEvent(events.taskSucceeded)
  async succeeded({ workflowId, task, startedAt, endedAt }: Told<'taskSucceeded'>, { tx, store }: EventContext): Promise<void> {
    await updateTask(tx, store.schema, { moveId: workflowId, task, state: 'done', startedAt, endedAt, from: open });
  }

  @OnEvent(events.taskFailed)
  async failed({ workflowId, task, cause, at }: Told<'taskFailed'>, { tx, store, event }: EventContext): Promise<void> {
    await updateTask(tx, store.schema, { moveId: workflowId, task, state: 'failed', endedAt: at ?? event.time, cause, from: open });
  }

  @OnEvent(events.taskSkipped)
  async skipped({ workflowId, task }: Told<'taskSkipped'>, { tx, store }: EventContext): Promise<void> {
    await updateTask(tx, store.schema, { moveId: workflowId, task, state: 'skipped', from: ['pending'] });
  }

  @OnEvent(events.taskCompensated)
  async compensated({ workflowId, task, left }: Told<'taskCompensated'>, { tx, store }: EventContext): Promise<void> {
    if (!left) await updateTask(tx, store.schema, { moveId: workflowId, task, state: 'undone', from: ['done'] });
  }

  @OnEvent(events.instanceChanged)
  changed(data: Told<'instanceChanged'>, ctx: EventContext): Promise<void> {
    return moveChanged(data, ctx);
  }

  @OnEvent(events.compensationStarted)
  async undone({ workflowId, cause }: Told<'compensationStarted'>, ctx: EventContext): Promise<void> {
    await noMoreApproval(workflowId, cause.message, ctx);
    await goesOn(workflowId, { reason: cause.message }, ctx);
  }

  @OnEvent(events.cancelRequested)
  async cancelled({ workflowId, reason }: Told<'cancelRequested'>, ctx: EventContext): Promise<void> {
    await noMoreApproval(workflowId, reason, ctx);
    await runsCancelled(workflowId, { code: CANCELLED, message: reason }, ctx);
  }

  @OnEvent(events.instanceEnded)
  async ended(data: Told<'instanceEnded'>, ctx: EventContext): Promise<void> {
    await runsCancelled(data.workflowId, { code: OVER, message: `its workflow has ended: ${data.state}` }, ctx);
    await noMoreApproval(data.workflowId, `its move has ended: ${data.state}`, ctx);
    const move = await moveOf(ctx.tx, ctx.store.schema, data.workflowId);
    if (move) await moveEnded(data, move, ctx);
    else if (data.name === 'options-query' && data.state !== 'succeeded') await queryFailed(data, ctx);
  }
}

const moveEnded = async (data: Told<'instanceEnded'>, move: MoveRow, ctx: EventContext): Promise<void> => {
  const { tx, store } = ctx;
  const state = moveState(data.state, data.missing);
  await endMove(tx, store.schema, { moveId: move.move_id, state, at: data.at });
  const missing = data.missing?.length ? { detail: { missing: data.missing } } : {};
  const command = {
    kind: 'end-move' as const,
    moveId: move.move_id,
    state,
    cause: data.cause && { ...missing, ...data.cause },
    figures: data.state === 'succeeded' ? await figures(data, move, ctx) : undefined,
  };
  const decided = await setOn(ctx, move.migration_id, command, ctx.event.tenant);
  if (!decided.ok) throw new Error(`${move.move_id} ended, and its migration says ${decided.rejection.code}`);
};

const figures = async (data: Told<'instanceEnded'>, move: MoveRow, ctx: EventContext) => {
  const tasks = await tasksOf(ctx.tx, ctx.store.schema, [move.move_id]);
  const busy = tasks.flatMap((t) =>
    /^(host|guest)\./.test(t.kind) && t.started_at && t.ended_at
      ? [{ startedAt: t.started_at.toISOString(), endedAt: t.ended_at.toISOString() }]
      : [],
  );
  const startedAt = (move.started_at ?? new Date(data.at)).toISOString();
  return figuresOf(data.output, controlPlaneMs(startedAt, data.at, busy), Date.parse(data.at) - Date.parse(startedAt));
};

const queryFailed = async (data: Told<'instanceEnded'>, ctx: EventContext): Promise<void> => {
  const cause = data.cause ?? { code: 'workflow.ended', message: `the query's workflow ended ${data.state}` };
  const decided = await ctx.decide(`options-query-${data.subject}`, optionsQueryDecider, { kind: 'fail', queryId: data.subject, cause });
  if (!decided.ok) ctx.log.warn({ queryId: data.subject, code: decided.rejection.code }, 'a query that is not ours failed');
};
