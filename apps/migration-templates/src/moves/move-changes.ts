import type { Change, DataOf, workflowEvents } from '@chrysalis/contracts';
import { unreachable } from '@chrysalis/kernel';
import { migrationDecider } from '@chrysalis/migration-templates-core';
import type { EventContext } from '@chrysalis/service-kit';
import { addTask, moveOf, resumeMove, setTasks } from '../sql/moves.ts';

type Changed = DataOf<typeof workflowEvents.instanceChanged>;
type Why = Readonly<{ reason: string; by?: string }>;

/** An operator changed a move's workflow: its steps are what they are now, and where it had ended it goes on. */
export const moveChanged = async ({ workflowId, change, effect, actor, reason }: Changed, ctx: EventContext): Promise<void> => {
  const { tx, store } = ctx;
  if (!(await moveOf(tx, store.schema, workflowId))) return;
  await setTasks(tx, store.schema, workflowId, effect?.again ?? [], 'pending');
  await applyChange(workflowId, change, ctx);
  await goesOn(workflowId, { reason, by: actor }, ctx);
};

const applyChange = async (moveId: string, change: Change, { tx, store: { schema } }: EventContext): Promise<unknown> => {
  switch (change.type) {
    case 'add-task':
      return addTask(tx, schema, moveId, { task: change.task.name, section: change.task.section ?? null, kind: change.task.kind });
    case 'replace-task':
      return addTask(tx, schema, moveId, { task: change.task, section: change.with.section ?? null, kind: change.with.kind });
    case 'duplicate-task':
      return addTask(tx, schema, moveId, { task: change.as, section: null, kind: null, like: change.task });
    case 'skip-task':
      return setTasks(tx, schema, moveId, [change.task], 'skipped');
    case 'mark-done':
      return setTasks(tx, schema, moveId, [change.task], 'done');
    case 'rewire':
    case 'reassign':
    case 'set-limits':
    case 'pause':
    case 'resume':
    case 'retry-from':
      return undefined;
    default:
      return unreachable(change);
  }
};

/** A move that has ended, and whose workflow is at work again: it runs, and its migration with it. One that runs is left as it is. */
export const goesOn = async (moveId: string, { reason, by }: Why, ctx: EventContext): Promise<void> => {
  const { tx, store } = ctx;
  const move = await moveOf(tx, store.schema, moveId);
  if (!move?.ended_at) return;
  await resumeMove(tx, store.schema, moveId);
  const command = { kind: 'resume-move', moveId, reason: reason.slice(0, 255), by } as const;
  const decided = await ctx.decide(`migration-${move.migration_id}`, migrationDecider, command);
  if (!decided.ok) throw new Error(`${moveId} goes on, and its migration says ${decided.rejection.code}`);
};
