import type { Cause, WorkflowState } from '@chrysalis/contracts';
import { criticalPath, duration, type CriticalPath } from './critical-path.ts';
import type { GraphNode } from './graph.ts';
import { itemsIn, shownItems, type ItemsView } from './item-view.ts';
import { queuedView } from './queued.ts';
import { inputOf } from './scope.ts';
import { isInstance, type Attempt, type Instance, type Offer, type TaskPhase, type TaskState, type WorkflowInstance } from './state.ts';
import { nextTimers, iso, type Timer } from './timers.ts';
import { toArray } from './vector.ts';

export type TaskView = {
  readonly name: string;
  readonly kind: string;
  readonly summary: string;
  readonly section?: string;
  readonly state: TaskPhase;
  /** Without the items of a `forEach`. */
  readonly dependsOn: readonly string[];
  /** Of an item: its `forEach`, and which it is, from 0. */
  readonly item?: { readonly of: string; readonly position: number };
  /** Of a `forEach` whose items are known. */
  readonly items?: ItemsView;
  /** Executors may bid until it closes. */
  readonly offer?: Offer;
  readonly when?: string;
  readonly pointOfNoReturn: boolean;
  readonly compensation?: string;
  readonly deadlineMs: number;
  readonly attempts: readonly Attempt[];
  /** As it was given out; for a task that has not been, as it is written. Long texts are cut. */
  readonly input: unknown;
  readonly output?: unknown;
  readonly cause?: Cause;
  readonly reason?: string;
  readonly startedAt?: string;
  readonly endedAt?: string;
  /** From the first dispatch to the end. */
  readonly ms?: number;
};
/** Tasks by where they are now, items of a `forEach` included. */
export type Counts = Readonly<Record<'total' | 'succeeded' | 'skipped' | 'failed' | 'compensated', number>>;
export type WorkflowView = {
  readonly workflowId: string;
  readonly subject: string;
  readonly name: string;
  readonly version?: number;
  readonly summary?: string;
  readonly tenant?: string;
  readonly state: WorkflowState | 'queued';
  /** Nothing new is given out. */
  readonly paused?: true;
  readonly cancelRequested?: string;
  /** Of a sub-workflow: the execution that it is. */
  readonly parent?: { readonly workflowId: string; readonly task: string; readonly attempt: number };
  /** Of one in the queue: 0 (last) to 9 (first). */
  readonly priority?: number;
  readonly queuedAt?: string;
  readonly startedAt?: string;
  readonly deadlineAt?: string;
  readonly endedAt?: string;
  readonly cause?: Cause;
  readonly causedBy?: string;
  readonly missing?: readonly string[];
  readonly output?: unknown;
  readonly params?: unknown;
  readonly counts?: Counts;
  readonly tasks: readonly TaskView[];
  readonly criticalPath?: CriticalPath;
  readonly timers: readonly Timer[];
};

/** `some`: of the items of a `forEach` only those that somebody may want to see, see item-view.ts. */
export type ViewOptions = { readonly items?: 'all' | 'some' | 'none' };

/** The whole graph as it stands, with the tasks that have not begun. `undefined` where there is no such instance. */
export const viewOf = (state: WorkflowInstance, { items = 'all' }: ViewOptions = {}): WorkflowView | undefined => {
  if (state.status === 'none') return undefined;
  if (state.status === 'queued') return queuedView(state);
  if (!isInstance(state)) {
    const { workflowId, subject, name, end } = state;
    return {
      workflowId,
      subject,
      name,
      state: end.state,
      endedAt: end.at,
      tasks: [],
      timers: [],
      ...(end.cause ? { cause: end.cause } : {}),
    };
  }
  const tasks = toArray(state.tasks);
  const { workflowId, subject, definition, end } = state;
  const cause = end ? end.cause : state.cause;
  return {
    workflowId,
    subject,
    name: definition.name,
    version: definition.version,
    summary: definition.summary,
    tenant: state.tenant,
    state: state.status,
    ...standing(state),
    startedAt: state.startedAt,
    deadlineAt: iso(state.deadlineAt),
    ...(end ? { endedAt: end.at, output: brief(end.output) } : {}),
    ...(cause ? { cause } : {}),
    ...(cause && state.causedBy !== undefined ? { causedBy: state.causedBy } : {}),
    ...(end?.missing ? { missing: end.missing } : {}),
    params: brief(state.params),
    counts: countsOf(tasks),
    tasks: shown(state, tasks, items).map((i) => taskView(state, state.graph.nodes[i]!, tasks[i]!)),
    criticalPath: criticalPath(state, tasks),
    timers: nextTimers(state).slice(0, 100),
  };
};

export const countsOf = (tasks: readonly TaskState[]): Counts => {
  const counts = { total: tasks.length, succeeded: 0, skipped: 0, failed: 0, compensated: 0 };
  for (const { phase } of tasks)
    if (phase === 'succeeded' || phase === 'skipped' || phase === 'failed' || phase === 'compensated') counts[phase]++;
  return counts;
};

const standing = ({ end, paused, cancelReason, parent }: Instance): Partial<WorkflowView> => ({
  ...(paused && !end ? { paused } : {}),
  ...(cancelReason === undefined ? {} : { cancelRequested: cancelReason }),
  ...(parent ? { parent: { workflowId: parent.workflowId, task: parent.task, attempt: parent.attempt } } : {}),
});

const shown = ({ graph }: Instance, tasks: readonly TaskState[], items: NonNullable<ViewOptions['items']>): readonly number[] =>
  items === 'all'
    ? tasks.map((_, i) => i)
    : graph.nodes.flatMap(({ item }, i) => {
        if (item) return [];
        const { fan } = tasks[i]!;
        return fan && items === 'some' ? [i, ...shownItems(tasks, fan)] : [i];
      });

export const taskView = (state: Instance, node: GraphNode, task: TaskState): TaskView => {
  const { definition } = node;
  const runs = task.attempts.filter((a) => a.action === 'run');
  const ended = runs.at(-1)?.settled;
  const endedAt = task.phase === 'retrying' ? undefined : (ended?.at ?? ended?.endedAt);
  const ms = duration(task);
  return {
    name: definition.name,
    kind: definition.kind,
    summary: definition.summary,
    ...(definition.section ? { section: definition.section } : {}),
    state: task.phase,
    dependsOn: node.dependsOn
      .filter((d) => state.graph.nodes[d]!.item?.of !== node.index)
      .map((d) => state.graph.nodes[d]!.definition.name),
    ...(node.item ? { item: { of: state.graph.nodes[node.item.of]!.definition.name, position: node.item.position } } : {}),
    ...(task.fan ? { items: itemsIn(state, task.fan) } : {}),
    ...(task.offer ? { offer: task.offer } : {}),
    ...(definition.when === undefined ? {} : { when: definition.when }),
    pointOfNoReturn: definition.pointOfNoReturn === true,
    ...(definition.compensation ? { compensation: definition.compensation.kind } : {}),
    deadlineMs: definition.deadlineMs,
    attempts: task.attempts,
    input: brief(runs.length > 0 ? inputOf(state, node) : definition.input),
    ...(task.output ? { output: brief(task.output) } : {}),
    ...(task.cause ? { cause: task.cause } : {}),
    ...(task.reason === undefined ? {} : { reason: task.reason }),
    ...(runs[0] ? { startedAt: runs[0].dispatchedAt } : {}),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(ms === undefined ? {} : { ms }),
  };
};

const MAX_TEXT = 200;
const hidden = /token|secret|password|grant/i;

/** For people: texts cut at 200 characters, and no value under a key that names a secret. */
const brief = (value: unknown, key = ''): unknown => {
  if (typeof value === 'string') {
    if (hidden.test(key) && value.length > 0) return '(hidden)';
    return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}… (${value.length} characters)` : value;
  }
  if (Array.isArray(value)) return value.slice(0, 100).map((v) => brief(v, key));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, brief(v, k)]));
};
