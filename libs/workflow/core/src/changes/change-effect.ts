import type { ChangeEffect, WorkflowEvent } from '@chrysalis/contracts';
import { evolve } from '../instance/evolve.ts';
import type { Instance, TaskState } from '../instance/state.ts';
import { iso } from '../instance/timers.ts';
import { toArray } from '../structures/vector.ts';
import { countsOf } from '../views/view.ts';

const MAX_NAMED = 10_000;
const waits = ({ phase }: TaskState): boolean => phase === 'waiting' || phase === 'ready' || phase === 'expanded';

/** What a change leads to, worked out before it is written. */
export const effectOf = (
  state: Instance,
  event: Extract<WorkflowEvent, { type: 'chrysalis.workflow.instance.changed.v1' }>,
): ChangeEffect => {
  const after = evolve(state, event) as Instance;
  const [before, now] = [toArray(state.tasks), toArray(after.tasks)];
  const again = before.flatMap((task, i) => (!waits(task) && waits(now[i]!) ? [after.graph.nodes[i]!.definition.name] : []));
  return {
    counts: countsOf(now),
    deadlineAt: iso(after.deadlineAt),
    ...(again.length > 0 ? { again: again.slice(0, MAX_NAMED) } : {}),
  };
};
