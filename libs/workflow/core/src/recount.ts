import type { Draft } from './evolve.ts';
import { admit } from './fan.ts';
import { CANCELLED } from './policy.ts';
import { noneReady, pushReady } from './ready.ts';
import { isOpen, type Instance, type TaskState } from './state.ts';
import { toArray, vectorOf } from './vector.ts';

const done = ({ phase }: TaskState): boolean => phase === 'succeeded' || phase === 'skipped';
const waits = ({ phase }: TaskState): boolean => phase === 'waiting' || phase === 'ready' || phase === 'expanded';

/** All that is counted beside the tasks, worked out from them anew: after a change nothing is taken over from before. O(nodes + edges). */
export const recount = (draft: Draft): void => {
  const { nodes } = draft.graph;
  const before = toArray(draft.tasks);
  const tasks = before.map((task, i): TaskState => {
    const waitingFor = nodes[i]!.dependsOn.reduce((n, d) => n + (done(before[d]!) ? 0 : 1), 0);
    const counted = task.fan
      ? { ...task, waitingFor, fan: { ...task.fan, settled: settledItems(before, task.fan) } }
      : { ...task, waitingFor };
    return waits(task) ? { ...counted, phase: phaseOf(counted, before, draft, i) } : counted;
  });
  draft.tasks = vectorOf(tasks);
  draft.unfinished = tasks.reduce((n, t) => n + (done(t) ? 0 : 1), 0);
  draft.committed = tasks.some((t, i) => t.phase === 'succeeded' && nodes[i]!.definition.pointOfNoReturn === true);
  countOpen(draft, tasks);
  draft.ready = noneReady;
  for (let i = tasks.length - 1; i >= 0; i--) if (tasks[i]!.phase === 'ready') pushReady(draft, i);
  tasks.forEach((t, i) => t.fan && admit(draft, i));
  recause(draft, tasks);
};

const settledItems = (tasks: readonly TaskState[], fan: NonNullable<TaskState['fan']>): number =>
  tasks.slice(fan.first, fan.first + fan.next).reduce((n, t) => n + (done(t) || t.phase === 'failed' ? 1 : 0), 0);

const phaseOf = (task: TaskState, tasks: readonly TaskState[], { graph }: Draft, index: number): TaskState['phase'] => {
  if (task.waitingFor > 0) return task.fan ? 'expanded' : 'waiting';
  const { item } = graph.nodes[index]!;
  if (!item) return 'ready';
  return item.position < (tasks[item.of]!.fan?.next ?? 0) ? 'ready' : 'waiting';
};

const countOpen = (draft: Draft, tasks: readonly TaskState[]): void => {
  draft.open = draft.decisiveOpen = draft.retrying = draft.decisiveRetrying = 0;
  tasks.forEach((task, i) => {
    const decisive = draft.graph.nodes[i]!.definition.pointOfNoReturn === true;
    const open = task.attempts.filter(isOpen).length;
    const retrying = task.phase === 'retrying' || task.phase === 'offered' ? 1 : 0;
    draft.open += open;
    draft.retrying += retrying;
    if (decisive) draft.decisiveOpen += open;
    if (decisive) draft.decisiveRetrying += retrying;
  });
};

/** A failure that was repaired is no cause any more; another one that is left is. A wish to cancel stays one. */
const recause = (draft: Draft, tasks: readonly TaskState[]): void => {
  if (draft.cause?.code === CANCELLED && draft.cancelReason !== undefined) return;
  const failed = tasks.findIndex((t) => t.phase === 'failed');
  if (failed >= 0 && draft.causedBy !== undefined && tasks[draft.graph.index.get(draft.causedBy)!]?.phase === 'failed') return;
  const left: Partial<Pick<Instance, 'cause' | 'causedBy'>> = {};
  if (failed >= 0) Object.assign(left, { cause: tasks[failed]!.cause, causedBy: draft.graph.nodes[failed]!.definition.name });
  delete draft.cause;
  delete draft.causedBy;
  Object.assign(draft, left);
};
