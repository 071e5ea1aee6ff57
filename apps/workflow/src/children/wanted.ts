import { get, isInstance, isOpen, toArray, type Attempt, type Instance, type WorkflowInstance } from '@chrysalis/workflow-core';

/** The execution with this token, of whatever task. */
export const executionOf = (state: Instance, token: number): { readonly task: string; readonly given: Attempt } | undefined => {
  for (const [i, { attempts }] of toArray(state.tasks).entries()) {
    const given = attempts.find((a) => a.token === token);
    if (given) return { task: state.graph.nodes[i]!.definition.name, given };
  }
  return undefined;
};

/** What an instance still waits for: runs while it goes forward, undos while it is undone. */
const wantedAction = (state: WorkflowInstance): Attempt['action'] | undefined => {
  if (!isInstance(state) || state.end) return undefined;
  if (state.status === 'compensating') return 'compensate';
  return state.cancelReason !== undefined && !state.committed ? undefined : 'run';
};

/** The tokens of the executions that an instance still waits for. O(tasks). */
export const wantedTokens = (state: WorkflowInstance): ReadonlySet<number> => {
  const action = wantedAction(state);
  if (!isInstance(state) || action === undefined) return new Set();
  return new Set(toArray(state.tasks).flatMap((t) => t.attempts.filter((a) => isOpen(a) && a.action === action).map((a) => a.token)));
};

const MAX_DEPTH = 8;
/** How many workflows this one is within; `undefined`: as many as may be, so nothing goes into it. */
export const depthOf = async (state: Instance, load: (id: string) => Promise<WorkflowInstance>): Promise<number | undefined> => {
  let depth = 0;
  for (let parent = state.parent; parent; depth++) {
    if (depth + 1 >= MAX_DEPTH) return undefined;
    const above = await load(parent.workflowId);
    parent = isInstance(above) ? above.parent : undefined;
  }
  return depth;
};

export const attemptsOf = (state: WorkflowInstance, task: string): readonly Attempt[] => {
  const index = isInstance(state) ? state.graph.index.get(task) : undefined;
  return index === undefined ? [] : get((state as Instance).tasks, index).attempts;
};

/** The same of one execution, without looking at the others. */
export const isWanted = (state: WorkflowInstance, { task, token }: { readonly task: string; readonly token: number }): boolean => {
  const action = wantedAction(state);
  return attemptsOf(state, task).some((a) => a.token === token && isOpen(a) && a.action === action);
};
