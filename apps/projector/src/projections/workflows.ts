import { instanceQueued, workflowEvents as e, type WorkflowState } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler } from '../projection.ts';
import { redact } from '../redact.ts';

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
    return {
      ...rest,
      ...(state === undefined ? {} : { state: operationState(state as WorkflowState) }),
      ...(phase === undefined ? {} : { phase }),
      progress: { ...progress, done: (progress?.done ?? 0) + (count === 'succeeded' || count === 'skipped' ? 1 : 0) },
    };
  }),
];
const counted = (before: unknown, count?: keyof Counts): Counts => {
  const counts = { total: 0, succeeded: 0, skipped: 0, failed: 0, compensated: 0, ...(before as Partial<Counts> | undefined) };
  return count ? { ...counts, [count]: counts[count] + 1 } : counts;
};

/** An operation is running until its end; a cancelled workflow has been undone. */
const operationState = (s: WorkflowState): string => (s === 'compensating' ? 'running' : s === 'cancelled' ? 'undone' : s);

const taskRow = (workflowId: string, task: string, members: Document | ((before: Document) => Document)): Change =>
  merge('tasks', `${workflowId}/${task}`, members);

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
      state: d.action === 'run' ? 'running' : 'compensating',
      attempt: d.attempt,
      executor: d.executor,
      deadlineAt: d.deadlineAt,
      startedAt: before['startedAt'] ?? d.at,
      retryAt: undefined,
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
      state: d.final ? 'failed' : 'retrying',
      attempt: d.attempt,
      executor: d.executor,
      cause: d.cause,
      retryAt: d.retryAt,
      ...(d.final ? { endedAt: at } : {}),
    }),
  ]),
  on(e.compensationStarted, (d) => both(d.workflowId, { state: 'compensating', phase: 'undo', cause: d.cause })),
  on(e.taskCompensated, (d, { at }) => [
    ...both(d.workflowId, {}, 'compensated'),
    taskRow(d.workflowId, d.task, { state: 'compensated', compensatedAt: at, cause: undefined }),
  ]),
  on(e.compensationFailed, (d) => [
    ...both(d.workflowId, {}),
    taskRow(d.workflowId, d.task, { state: d.final ? 'compensation-failed' : 'compensating', cause: d.cause, retryAt: d.retryAt }),
  ]),
  on(e.cancelRequested, (d) => both(d.workflowId, { cancelRequested: d.reason })),
  on(e.instanceEnded, (d) => {
    const cause = d.cause ?? (d.state === 'cancelled' ? { code: 'operation.cancelled', message: 'cancelled on request' } : undefined);
    return both(d.workflowId, {
      state: d.state,
      missing: d.missing,
      output: redact(d.output),
      endedAt: d.at,
      ...(cause ? { cause } : {}),
    });
  }),
];
