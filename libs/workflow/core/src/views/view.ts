import type { Cause, WorkflowState } from '@chrysalis/contracts';
import { criticalPath, type CriticalPath } from '../definition/critical-path.ts';
import { brief } from './brief.ts';
import { shownItems } from './item-view.ts';
import { taskView, type TaskView } from './task-view.ts';
import { isInstance, type Instance, type Queued, type Refused, type TaskState, type WorkflowInstance } from '../instance/state.ts';
import { nextTimers, iso, type Timer } from '../instance/timers.ts';
import { toArray } from '../structures/vector.ts';

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
  return isInstance(state) ? instanceView(state, items) : refusedView(state);
};

const instanceView = (state: Instance, items: NonNullable<ViewOptions['items']>): WorkflowView => {
  const tasks = toArray(state.tasks);
  const { workflowId, subject, definition } = state;
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
    ...ending(state),
    params: brief(state.params),
    counts: countsOf(tasks),
    tasks: shown(state, tasks, items).map((i) => taskView(state, state.graph.nodes[i]!, tasks[i]!)),
    criticalPath: criticalPath(state, tasks),
    timers: nextTimers(state).slice(0, 100),
  };
};

const ending = ({ end, cause: open, causedBy }: Instance): Partial<WorkflowView> => {
  const cause = end ? end.cause : open;
  return {
    ...(end ? { endedAt: end.at, output: brief(end.output) } : {}),
    ...(cause ? { cause } : {}),
    ...(cause && causedBy !== undefined ? { causedBy } : {}),
    ...(end?.missing ? { missing: end.missing } : {}),
    ...(end?.failed ? { failed: end.failed } : {}),
  };
};

/** It never began: its request had faults. */
const refusedView = ({ workflowId, subject, name, end }: Refused): WorkflowView => ({
  workflowId,
  subject,
  name,
  state: end.state,
  endedAt: end.at,
  tasks: [],
  timers: [],
  ...(end.cause ? { cause: end.cause } : {}),
});

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

const queuedView = ({ workflowId, subject, name, version, summary, tenant, priority, at, expiresAt }: Queued): WorkflowView => ({
  workflowId,
  subject,
  name,
  version,
  summary,
  tenant,
  state: 'queued',
  priority,
  queuedAt: at,
  deadlineAt: expiresAt,
  tasks: [],
  timers: [],
});
