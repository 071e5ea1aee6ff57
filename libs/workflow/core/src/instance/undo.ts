import type { Cause } from '@chrysalis/contracts';
import type { Draft } from './draft.ts';
import type { GraphNode } from '../definition/graph-node.ts';
import { noneReady } from './ready.ts';
import { AGAIN } from './retry.ts';
import { isOpen, type TaskState } from './state.ts';
import { get, set, toArray, vectorOf } from '../structures/vector.ts';

/**
 * Reverse order of dependencies: a task is undone when each of its dependants is. One that never ran, or has no compensation, has nothing
 * to undo and passes the word on; one that runs still holds back what it depends on until it reports or its deadline passes. A task whose
 * attempt failed or timed out may have had its effect, so it is undone like one that succeeded, and where its undo names `${executor}`, at
 * each executor that it was given to, one after another. A compensation that fails for good holds
 * back what its task depends on: taking the ground away from an effect that is still there would make it worse.
 */
export const beginUndo = (draft: Draft, { cause, task, at }: Started): void => {
  if (draft.end) reopened(draft, at ?? draft.end.at);
  draft.status = 'compensating';
  draft.cause ??= cause;
  if (task !== undefined) draft.causedBy ??= task;
  draft.ready = noneReady;
  draft.paused = false;
  delete draft.end;
  draft.retrying = draft.decisiveRetrying = 0;
  const tasks = toArray(draft.tasks).map(({ offer: _, ...t }, i): TaskState => ({
    ...t,
    phase: atRest(t),
    undoAfter: draft.graph.nodes[i]!.dependants.length,
  }));
  draft.tasks = vectorOf(tasks);
  // from the last to the first, so that those dispatched first are the last ones started
  for (let i = tasks.length - 1; i >= 0; i--) if (draft.graph.nodes[i]!.dependants.length === 0) undoSettled(draft, i);
};

type Started = { readonly cause: Cause; readonly task?: string | undefined; readonly at?: string | undefined };

/**
 * An instance that had ended is undone, or its undo goes on: nobody listened meanwhile, and no timer was left, so what was under way is
 * superseded, and undoing what is left has all its attempts again. What is undone stays so.
 */
const reopened = (draft: Draft, at: string): void => {
  draft.compensationFailed = false;
  draft.open = draft.decisiveOpen = 0;
  const again: Cause = { code: AGAIN, message: 'the workflow had ended', retriable: true };
  const tasks = toArray(draft.tasks).map((t): TaskState => {
    if (!halted.has(t.phase)) return t;
    const attempts = t.attempts.map((a) => (isOpen(a) ? { ...a, settled: { ok: false, cause: again, at } } : a));
    return { ...t, attempts, phase: t.output === undefined ? 'failed' : 'succeeded', since: attempts.length };
  });
  draft.tasks = vectorOf(tasks);
};
const halted: ReadonlySet<TaskState['phase']> = new Set<TaskState['phase']>([
  'dispatched',
  'compensating',
  'compensation-retrying',
  'compensation-failed',
]);

/** A task that waits to run again may have had its effect when it ran before. */
const atRest = ({ phase, attempts }: TaskState): TaskState['phase'] => {
  if (phase === 'retrying') return 'failed';
  const waits = phase === 'offered' || phase === 'ready' || phase === 'expanded' || phase === 'waiting';
  return !waits ? phase : attempts.length > 0 ? 'failed' : 'waiting';
};

/** A task has come to rest, or its last dependant is undone: it is next, or has nothing to undo and lets go of its dependencies. */
export const undoSettled = (draft: Draft, index: number): void => {
  const settled = [index];
  for (let i = settled.pop(); i !== undefined; i = settled.pop()) {
    const node = draft.graph.nodes[i]!;
    const task = get(draft.tasks, i);
    if (task.undoAfter > 0 || task.phase === 'dispatched') continue;
    if (needsUndo(node, task)) draft.undoReady = { head: i, tail: draft.undoReady };
    else settled.push(...letGo(draft, node));
  }
};

/** Its dependencies that wait for nothing more. */
const letGo = (draft: Draft, { dependsOn }: GraphNode): readonly number[] => dependsOn.filter((before) => lessOne(draft, before) === 0);

/** Only what was given to an executor, or done by an operator, can have had an effect; skipping it afterwards takes nothing back. */
export const mayHaveEffect = ({ attempts, byHand }: TaskState): boolean => attempts.length > 0 || byHand === true;
const undoable: ReadonlySet<TaskState['phase']> = new Set<TaskState['phase']>(['succeeded', 'failed', 'skipped', 'waiting']);
const needsUndo = (node: GraphNode, task: TaskState): boolean =>
  node.compensation !== undefined && mayHaveEffect(task) && undoable.has(task.phase);

const lessOne = (draft: Draft, index: number): number => {
  const task = get(draft.tasks, index);
  const undoAfter = task.undoAfter - 1;
  draft.tasks = set(draft.tasks, index, { ...task, undoAfter });
  return undoAfter;
};
