import type { Cause, Change, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import { unreachable } from '@chrysalis/kernel';
import type { Draft } from '../instance/draft.ts';
import type { Fault } from '../definition/faults.ts';
import { assemble } from '../definition/graph.ts';
import type { Slot } from '../definition/graph-node.ts';
import { push } from '../structures/heap.ts';
import { AGAIN, REASSIGNED } from '../instance/retry.ts';
import { recount } from '../instance/recount.ts';
import { isOpen, sooner, type Attempt, type TaskPhase, type TaskState } from '../instance/state.ts';
import { concat, get, set, toArray, vectorOf } from '../structures/vector.ts';

/** What a change does to the state. Whether it may be made is for `change.ts` to say, before there is an event. O(nodes). */
export const changed = (draft: Draft, change: Change, at: string): void => {
  apply(draft, change, at);
  if (change.type === 'pause' || change.type === 'resume') return;
  recount(draft);
};

const apply = (draft: Draft, change: Change, at: string): void => {
  switch (change.type) {
    case 'pause':
      draft.paused = true;
      return;
    case 'resume':
      draft.paused = false;
      return;
    case 'add-task':
      return addTask(draft, change.task, change.before ?? []);
    case 'duplicate-task':
      return addTask(draft, duplicateOf(taskOf(draft, change.task), change), []);
    case 'replace-task':
      return void redefine(draft, (t) => (t.name === change.task ? change.with : t));
    case 'rewire':
      return void redefine(draft, (t) => (t.name === change.task ? rewired(t, change) : t));
    case 'reassign':
      return reassign(draft, change, at);
    case 'set-limits':
      return setLimits(draft, change);
    case 'skip-task':
      return settleByHand(draft, change.task, at, { phase: 'skipped', reason: 'skipped by an operator' });
    case 'mark-done':
      return settleByHand(draft, change.task, at, {
        phase: 'succeeded',
        output: change.output,
        // The undo of a forEach is each item's own, and there are no items: what was done for all of them by hand is undone by hand.
        ...(draft.graph.nodes[draft.graph.index.get(change.task)!]!.items ? {} : { byHand: true }),
      });
    case 'retry-from':
      return runAgain(draft, change.task, at);
    default:
      return unreachable(change);
  }
};

const taskOf = (draft: Draft, name: string): TaskDefinition => draft.definition.tasks.find((t) => t.name === name)!;

export const duplicateOf = (task: TaskDefinition, change: Extract<Change, { type: 'duplicate-task' }>): TaskDefinition => {
  const { pointOfNoReturn: _, compensation, ...copy } = task;
  const undo = compensation && { compensation: renamed(compensation, task.name, change.as) as typeof compensation };
  return { ...copy, ...undo, name: change.as, ...(change.route ? { route: change.route } : {}) };
};

/** The copy's undo takes back what the copy gave, not what the first one did. `$${` stays what it is. */
const renamed = (value: unknown, from: string, to: string): unknown => {
  if (typeof value === 'string')
    return value.replace(/\$\$\{|\$\{tasks\.([a-z][a-z0-9-]*)\.output/g, (all, name) => (name === from ? `\${tasks.${to}.output` : all));
  if (Array.isArray(value)) return value.map((v) => renamed(v, from, to));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, renamed(v, from, to)]));
};

const rewired = (task: TaskDefinition, { input, after }: Extract<Change, { type: 'rewire' }>): TaskDefinition => ({
  ...task,
  ...(input ? { input } : {}),
  ...(after ? { after } : {}),
});

/** The definition as it would be, with its faults: for whoever has to say whether the change is sound. */
export const redefined = (draft: Pick<Draft, 'definition' | 'graph'>, definition: WorkflowDefinition, slots?: readonly Slot[]) =>
  assemble(definition, slots ?? draft.graph.slots);

const redefine = (draft: Draft, edit: (task: TaskDefinition) => TaskDefinition): readonly Fault[] => {
  const definition = { ...draft.definition, tasks: draft.definition.tasks.map(edit) };
  const { graph, faults } = redefined(draft, definition);
  draft.definition = definition;
  draft.graph = graph;
  return faults;
};

const addTask = (draft: Draft, task: TaskDefinition, before: readonly string[]): void => {
  const definition = withTask(draft.definition, task, before);
  draft.graph = redefined(draft, definition, [...draft.graph.slots, { name: task.name }]).graph;
  draft.definition = definition;
  draft.tasks = concat(draft.tasks, [{ phase: 'waiting', waitingFor: 0, undoAfter: 0, attempts: [] }]);
};

export const withTask = (definition: WorkflowDefinition, task: TaskDefinition, before: readonly string[]): WorkflowDefinition => ({
  ...definition,
  tasks: [...definition.tasks.map((t) => (before.includes(t.name) ? { ...t, after: [...(t.after ?? []), task.name] } : t)), task],
});

const reassign = (draft: Draft, { task, route }: Extract<Change, { type: 'reassign' }>, at: string): void => {
  const index = draft.graph.index.get(task)!;
  if (draft.graph.nodes[index]!.item) {
    const slots = draft.graph.slots.with(index, { ...(draft.graph.slots[index] as Extract<Slot, { of: string }>), route });
    draft.graph = redefined(draft, draft.definition, slots).graph;
  } else redefine(draft, (t) => (t.name === task ? { ...t, route } : t));
  const state = superseded(
    get(draft.tasks, index),
    { code: REASSIGNED, message: 'an operator gave it to another executor', retriable: true },
    at,
  );
  const begun = state.phase === 'dispatched' || state.phase === 'offered' || state.phase === 'retrying';
  draft.tasks = set(draft.tasks, index, begun ? { ...without(state), phase: 'waiting' } : state);
};

const setLimits = (draft: Draft, change: Extract<Change, { type: 'set-limits' }>): void => {
  const { task: name, deadlineMs, concurrency, retry, heartbeatMs, priority } = change;
  if (name === undefined) {
    if (deadlineMs === undefined) return;
    draft.deadlineAt = Date.parse(draft.startedAt) + deadlineMs;
    // No execution runs past it, and one that ended with the old deadline has its own time again.
    toArray(draft.tasks).forEach((_, i) => moveDeadlines(draft, i));
    return;
  }
  redefine(draft, (t) =>
    t.name !== name
      ? t
      : {
          ...t,
          ...(deadlineMs === undefined ? {} : { deadlineMs }),
          ...(retry === undefined ? {} : { retry }),
          ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
          ...(priority === undefined ? {} : { priority }),
          ...(concurrency === undefined || !t.forEach ? {} : { forEach: { ...t.forEach, concurrency } }),
        },
  );
  const index = draft.graph.index.get(name)!;
  if (deadlineMs === undefined) return;
  const { fan } = get(draft.tasks, index);
  if (fan) for (let i = 0; i < fan.count; i++) moveDeadlines(draft, fan.first + i);
  else moveDeadlines(draft, index);
};

/** An execution under way gets the new deadline too; the old timer is stale then. */
const moveDeadlines = (draft: Draft, index: number): void => {
  const task = get(draft.tasks, index);
  if (task.phase !== 'dispatched') return;
  const { deadlineMs } = draft.graph.nodes[index]!.definition;
  const attempts = task.attempts.map((a): Attempt => {
    const at = Math.min(Date.parse(a.dispatchedAt) + deadlineMs, draft.deadlineAt);
    if (!isOpen(a) || at === Date.parse(a.deadlineAt)) return a;
    draft.timers = push(draft.timers, { at, kind: 'deadline', index, token: a.token }, sooner);
    return { ...a, deadlineAt: new Date(at).toISOString() };
  });
  draft.tasks = set(draft.tasks, index, { ...task, attempts });
};

const settleByHand = (draft: Draft, name: string, at: string, end: Pick<TaskState, 'phase' | 'reason' | 'output' | 'byHand'>): void => {
  const index = draft.graph.index.get(name)!;
  reopen(draft, at);
  const task = superseded(get(draft.tasks, index), { code: AGAIN, message: 'an operator ended it by hand', retriable: false }, at);
  draft.tasks = set(draft.tasks, index, { ...without(task), ...end });
};

/** The task, and whatever depends on it, as if it had not run; what it did meanwhile stays in its attempts. */
const runAgain = (draft: Draft, name: string, at: string): void => {
  reopen(draft, at);
  for (const i of affected(draft, draft.graph.index.get(name)!)) {
    const task = get(draft.tasks, i);
    const {
      output: _o,
      reason: _r,
      ...rest
    } = without(superseded(task, { code: AGAIN, message: 'an operator ran it again', retriable: true }, at));
    const since = rest.attempts.length;
    draft.tasks = set(draft.tasks, i, { ...rest, phase: task.fan ? 'expanded' : 'waiting', ...(since > 0 ? { since } : {}) });
  }
};

/** A task and all that depends on it, directly or not. Of an expanded `forEach` its failed items, not those that are done. */
export const affected = (draft: Pick<Draft, 'graph' | 'tasks'>, index: number): readonly number[] => {
  const { fan } = get(draft.tasks, index);
  const failedItems = fan
    ? Array.from({ length: fan.count }, (_, i) => fan.first + i).filter((i) => get(draft.tasks, i).phase === 'failed')
    : [];
  const seen = new Set<number>([index, ...failedItems]);
  for (const i of seen) for (const next of draft.graph.nodes[i]!.dependants) seen.add(next);
  return [...seen];
};

/**
 * A stopped instance goes on, with as much time as it had at first, if its own has passed. What was under way when it stopped begins anew:
 * nobody listened meanwhile, and no timer was left.
 */
const reopen = (draft: Draft, at: string): void => {
  if (!draft.end) return;
  delete draft.end;
  draft.status = 'running';
  draft.paused = false;
  draft.deadlineAt = Math.max(draft.deadlineAt, Date.parse(at) + draft.definition.deadlineMs);
  delete draft.cancelReason;
  const cause: Cause = { code: AGAIN, message: 'the workflow had stopped', retriable: true };
  const begun: readonly TaskPhase[] = ['dispatched', 'offered', 'retrying'];
  const tasks = toArray(draft.tasks).map((task) =>
    begun.includes(task.phase) ? { ...without(superseded(task, cause, at)), phase: 'waiting' as const } : task,
  );
  draft.tasks = vectorOf(tasks);
};

/** Whoever is at it is not listened to any more. */
const superseded = (task: TaskState, cause: Cause, at: string): TaskState => ({
  ...task,
  attempts: task.attempts.map((a) => (isOpen(a) ? { ...a, settled: { ok: false, cause, at } } : a)),
});

const without = ({ offer: _, cause: __, failure: ___, ...task }: TaskState): TaskState => task;
