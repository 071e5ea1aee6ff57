import { workflowEvents, type TaskDispatch } from '@chrysalis/contracts';
import { isOpen, toArray, type Instance } from '@chrysalis/workflow-core';

/** The group whose tasks the workflow service executes itself. */
const LOCAL = 'workflow';
export const DISPATCHED = workflowEvents.taskDispatched.type;

export const isLocal = ({ group }: Pick<TaskDispatch, 'group'>): boolean => group === LOCAL;

/** The local tasks that these events give out. */
export const localDispatches = (events: readonly { readonly type: string; readonly data: unknown }[]): readonly TaskDispatch[] =>
  events.filter(({ type, data }) => type === DISPATCHED && isLocal(data as TaskDispatch)).map(({ data }) => data as TaskDispatch);

/** The tokens of the local tasks that were given out and have not ended. */
export const openLocalTokens = (state: Instance): readonly number[] => {
  if (state.open === 0 || !hasLocal(state.graph)) return [];
  return toArray(state.tasks).flatMap((task, i) => {
    if (task.phase !== 'dispatched' && task.phase !== 'compensating') return [];
    const { route, compensation } = state.graph.nodes[i]!.definition;
    const here = task.attempts.filter((a) => isOpen(a) && isLocal(a.action === 'run' ? route : compensation!.route));
    return here.map((a) => a.token);
  });
};

const known = new WeakMap<Instance['graph'], boolean>();
const hasLocal = (graph: Instance['graph']): boolean => {
  const seen = known.get(graph);
  if (seen !== undefined) return seen;
  const has = graph.nodes.some(
    ({ definition: { route, compensation } }) => isLocal(route) || (compensation && isLocal(compensation.route)),
  );
  known.set(graph, has);
  return has;
};
