import { instanceQueued, workflowEvents as e, type WorkflowState } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler } from '../projection.ts';
import { redact } from '../redact.ts';
import { changed, goesOn } from './workflow-changes.ts';

type Counts = {
  readonly total: number;
  readonly succeeded: number;
  readonly skipped: number;
  readonly failed: number;
  readonly compensated: number;
};

/** Workflow and operation move together; `count` counts a task that has reached a final state. */
const both = (id: string, members: Document, count?: Exclude<keyof Counts, 'total'>): Change[] => [
  merge('workflows', id, (before) => ({ ...members, counts: counted(before['counts'], count) })),
  merge('operations', id, (before) => {
    const progress = before['progress'] as { done: number; total: number } | undefined;
    const { phase, state, ...rest } = members;
    const missing = members['missing'] as readonly string[] | undefined;
    return {
      ...rest,
      ...(state === undefined ? {} : { state: operationState(state as WorkflowState, missing) }),
      ...(phase === undefined ? {} : { phase }),
      progress: { ...progress, done: (progress?.done ?? 0) + (count === 'succeeded' || count === 'skipped' ? 1 : 0) },
    };
  }),
];
const counted = (before: unknown, count?: keyof Counts): Counts => {
  const counts = { total: 0, succeeded: 0, skipped: 0, failed: 0, compensated: 0, ...(before as Partial<Counts> | undefined) };
  return count ? { ...counts, [count]: counts[count] + 1 } : counts;
};

/** An operation is running until its end; a cancelled workflow has been undone, unless what it did was left as it is. */
const operationState = (s: WorkflowState, missing: readonly string[] = []): string => {
  if (s === 'compensating') return 'running';
  return s === 'cancelled' ? (missing.length > 0 ? 'stopped' : 'undone') : s;
};

const taskRow = (workflowId: string, task: string, members: Document | ((before: Document) => Document)): Change =>
  merge('tasks', `${workflowId}/${task}`, (before) => ({
    ...itemOf(workflowId, task),
    ...(typeof members === 'function' ? members(before) : members),
  }));

/** An item of a `forEach` has no row before it is first heard of; those come behind all tasks. */
const itemOf = (workflowId: string, task: string): Document => {
  const [of, position] = task.split('.');
  return position === undefined ? {} : { workflowId, task, of, position: Number(position), index: 1_000_000 + Number(position) };
};

const expanded = (id: string, count: number): Change[] => [
  merge('workflows', id, ({ counts }) => ({ counts: { ...counted(counts), total: counted(counts).total + count } })),
  merge('operations', id, ({ progress }) => {
    const { done, total, ...rest } = progress as { done: number; total: number };
    return { progress: { ...rest, done, total: total + count } };
  }),
];

export const workflows: readonly Handler[] = [
  on(instanceQueued, ({ workflowId, name, version, summary, subject, tasks, priority, at, expiresAt }) => [
    merge('workflows', workflowId, {
      workflowId,
      name,
      definitionVersion: version,
      summary,
      subject,
      state: 'queued',
      priority,
      queuedAt: at,
      deadlineAt: expiresAt,
      counts: counted({ total: tasks }),
    }),
    merge('operations', workflowId, {
      id: workflowId,
      kind: 'workflow',
      name,
      subject,
      state: 'queued',
      summary,
      progress: { done: 0, total: tasks, unit: 'tasks' },
      queuedAt: at,
      deadlineAt: expiresAt,
    }),
  ]),
  on(e.instanceStarted, ({ workflowId, definition, params, subject, at, deadlineAt }) => [
    merge('workflow_graphs', workflowId, { workflowId, definition, params: redact(params) }),
    merge('workflows', workflowId, {
      workflowId,
      name: definition.name,
      definitionVersion: definition.version,
      summary: definition.summary,
      subject,
      state: 'running',
      startedAt: at,
      deadlineAt,
      counts: counted({ total: definition.tasks.length }),
    }),
    merge('operations', workflowId, {
      id: workflowId,
      kind: 'workflow',
      name: definition.name,
      subject,
      state: 'running',
      summary: definition.summary,
      progress: { done: 0, total: definition.tasks.length, unit: 'tasks' },
      startedAt: at,
      deadlineAt,
    }),
    ...definition.tasks.map((t, index) =>
      taskRow(workflowId, t.name, {
        workflowId,
        task: t.name,
        index,
        kind: t.kind,
        summary: t.summary,
        section: t.section,
        state: 'pending',
      }),
    ),
  ]),
  on(e.taskDispatched, (d) => [
    ...both(d.workflowId, { phase: d.task }),
    taskRow(d.workflowId, d.task, (before) => ({
      ...(d.action === 'run' ? { state: 'running', kind: d.kind } : { state: 'compensating' }),
      attempt: d.attempt,
      executor: d.executor,
      deadlineAt: d.deadlineAt,
      startedAt: before['startedAt'] ?? d.at,
      retryAt: undefined,
      offer: undefined,
      heardAt: undefined,
    })),
  ]),
  on(e.taskSkipped, (d) => [...both(d.workflowId, {}, 'skipped'), taskRow(d.workflowId, d.task, { state: 'skipped', reason: d.reason })]),
  on(e.taskSucceeded, (d) => [
    ...both(d.workflowId, {}, 'succeeded'),
    taskRow(d.workflowId, d.task, {
      state: 'succeeded',
      attempt: d.attempt,
      executor: d.executor,
      output: redact(d.output),
      startedAt: d.startedAt,
      endedAt: d.endedAt,
      cause: undefined,
    }),
  ]),
  on(e.taskFailed, (d, { at }) => [
    ...both(d.workflowId, {}, d.final ? 'failed' : undefined),
    taskRow(d.workflowId, d.task, {
      // Neither final nor to be tried again: its second execution goes on.
      ...(d.final ? { state: 'failed' } : d.retryAt ? { state: 'retrying' } : {}),
      offer: undefined,
      attempt: d.attempt,
      executor: d.executor,
      cause: d.cause,
      retryAt: d.retryAt,
      ...(d.final ? { endedAt: at } : {}),
    }),
  ]),
  on(e.compensationStarted, (d) => both(d.workflowId, { state: 'compensating', phase: 'undo', cause: d.cause, ...goesOn })),
  on(e.taskCompensated, (d, { at }) => [
    ...both(d.workflowId, {}, d.left ? undefined : 'compensated'),
    taskRow(d.workflowId, d.task, d.left ? { state: 'compensating' } : { state: 'compensated', compensatedAt: at, cause: undefined }),
  ]),
  on(e.compensationFailed, (d) => [
    ...both(d.workflowId, {}),
    taskRow(d.workflowId, d.task, { state: d.final ? 'compensation-failed' : 'compensating', cause: d.cause, retryAt: d.retryAt }),
  ]),
  on(e.taskExpanded, (d) => [
    ...expanded(d.workflowId, d.count),
    taskRow(d.workflowId, d.task, { state: 'running', items: { count: d.count }, startedAt: d.at }),
  ]),
  on(e.taskOffered, (d) => [
    ...both(d.workflowId, { phase: d.task }),
    taskRow(d.workflowId, d.task, {
      state: 'offered',
      kind: d.kind,
      retryAt: undefined,
      offer: { number: d.offer, closesAt: d.closesAt, bids: 0 },
    }),
  ]),
  on(e.bidReceived, (d) => [
    taskRow(d.workflowId, d.task, ({ offer }) => {
      const open = offer as { number: number; bids: number } | undefined;
      return open?.number === d.offer ? { offer: { ...open, bids: open.bids + 1 } } : {};
    }),
  ]),
  on(e.heartbeatRecorded, (d) => [taskRow(d.workflowId, d.task, { heardAt: d.at })]),
  on(e.instanceChanged, changed),
  on(e.cancelRequested, (d) => both(d.workflowId, { cancelRequested: d.reason, paused: undefined })),
  on(e.instanceEnded, (d) => {
    const cause = d.cause ?? (d.state === 'cancelled' ? { code: 'operation.cancelled', message: 'cancelled on request' } : undefined);
    return both(d.workflowId, {
      state: d.state,
      missing: d.missing,
      failed: d.failed,
      output: redact(d.output),
      endedAt: d.at,
      paused: undefined,
      ...(cause ? { cause } : {}),
    });
  }),
];
