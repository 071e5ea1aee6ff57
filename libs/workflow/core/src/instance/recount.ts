import type { Draft } from './draft.ts';
import { admit } from './fan.ts';
import { CANCELLED } from './retry.ts';
import { noneReady, pushReady } from './ready.ts';
import type { GraphNode } from '../definition/graph-node.ts';
import { isOpen, type TaskPhase, type TaskState } from './state.ts';
import { toArray, vectorOf } from '../structures/vector.ts';

const done = ({ phase }: TaskState): boolean => phase === 'succeeded' || phase === 'skipped';
const waits = ({ phase }: TaskState): boolean => phase === 'waiting' || phase === 'ready' || phase === 'expanded';

/** All that is counted beside the tasks, worked out from them anew: after a change nothing is taken over from before. O(nodes + edges). */
export const recount = (draft: Draft): void => {
  const { nodes } = draft.graph;
  const before = toArray(draft.tasks);
  const tasks = before.map((task, i): TaskState => {
    const waitingFor = nodes[i]!.dependsOn.reduce((n, d) => n + (done(before[d]!) ? 0 : 1), 0);
    const counted = task.fan
      ? { ...task, waitingFor, fan: { ...task.fan, next: 0, going: going(before, task.fan) } }
      : { ...task, waitingFor };
    return waits(task) ? { ...counted, phase: phaseOf(counted, nodes[i]!) } : counted;
  });
  draft.tasks = vectorOf(tasks);
  draft.unfinished = tasks.reduce((n, t) => n + (done(t) ? 0 : 1), 0);
  draft.committed = tasks.some((t, i) => t.phase === 'succeeded' && nodes[i]!.definition.pointOfNoReturn === true);
  countOpen(draft, tasks);
  draft.ready = noneReady;
  for (let i = tasks.length - 1; i >= 0; i--) if (tasks[i]!.phase === 'ready') pushReady(draft, i);
  tasks.forEach((t, i) => t.fan && admit(draft, i));
  recause(draft);
};

/** Items that have begun and not ended: those that only had their turn get it anew, by their position, as far as there is room. */
const going = (tasks: readonly TaskState[], { first, count }: NonNullable<TaskState['fan']>): number =>
  tasks.slice(first, first + count).reduce((n, { phase }) => n + (begun.has(phase) ? 1 : 0), 0);
const begun: ReadonlySet<TaskPhase> = new Set<TaskPhase>(['offered', 'dispatched', 'retrying']);

const phaseOf = ({ waitingFor, fan }: TaskState, { item }: GraphNode): TaskPhase => {
  if (waitingFor > 0) return fan ? 'expanded' : 'waiting';
  return item ? 'waiting' : 'ready';
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

/**
 * The first failure for good that is still there. One that was repaired is no cause any more; a wish to cancel stays one until a point of
 * no return has succeeded. O(nodes).
 */
export const recause = (draft: Draft): void => {
  if (draft.cause?.code === CANCELLED && draft.cancelReason !== undefined && !draft.committed) return;
  let first: TaskState | undefined;
  let by = -1;
  toArray(draft.tasks).forEach((task, i) => {
    if (task.phase === 'failed' && task.failure! < (first?.failure ?? Infinity)) [first, by] = [task, i];
  });
  delete draft.cause;
  delete draft.causedBy;
  if (first) Object.assign(draft, { cause: first.cause, causedBy: draft.graph.nodes[by]!.definition.name });
};
