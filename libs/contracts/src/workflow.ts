import { z } from 'zod';
import { event, taskGroups, type EventsOf } from './define.ts';
import { Cause, Count, Id, Name, Positive, Timestamp } from './shapes.ts';

export const Retry = z.object({
  attempts: Positive.max(20),
  backoffMs: Count.max(600_000),
  maxBackoffMs: Count.max(3_600_000).optional(),
  /** Only these codes are retried; absent: every failure that the executor calls retriable. */
  codes: z.array(z.string().max(128)).max(64).optional(),
});

export const Route = z.discriminatedUnion('mode', [
  /** To the members of a service's group: any instance takes it. */
  z.object({ mode: z.literal('group'), group: z.enum(taskGroups) }),
  /** To one executor, `host:<id>`; the group is the one that can reach it. `executor` may be a reference. */
  z.object({ mode: z.literal('direct'), group: z.enum(taskGroups), executor: z.string().max(255) }),
]);
export type Route = z.infer<typeof Route>;

export const sections = ['prepare', 'pre-migration', 'hot-unplug', 'migration', 'hot-plug', 'post-migration', 'verify'] as const;
export const Section = z.enum(sections);
export type Section = z.infer<typeof Section>;

/**
 * Inputs hold JSON with references: `${params.x.y}` and `${tasks.name.output.z}`; a string that is one reference takes the value's type.
 * Any other `${` is a fault: text of people (scripts) goes in as a param, or through `literal`.
 */
export const TaskDefinition = z.object({
  name: Name,
  kind: z.string().regex(/^[a-z-]+\.[a-z-]+$/),
  summary: z.string().max(255),
  section: Section.optional(),
  input: z.record(z.string(), z.unknown()),
  after: z.array(Name).max(256).optional(),
  /** CEL over `params` and `tasks`; false skips the task. */
  when: z.string().max(1024).optional(),
  retry: Retry.optional(),
  deadlineMs: Positive.max(86_400_000),
  route: Route,
  compensation: z
    .object({
      kind: z.string().regex(/^[a-z-]+\.[a-z-]+$/),
      input: z.record(z.string(), z.unknown()),
      deadlineMs: Positive.max(86_400_000),
      retry: Retry.optional(),
      route: Route,
    })
    .optional(),
  /** Once this task has succeeded nothing is undone any more: failures stop the instance in `stopped`, naming what is missing. */
  pointOfNoReturn: z.boolean().optional(),
});
export type TaskDefinition = z.infer<typeof TaskDefinition>;

export const WorkflowDefinition = z.object({
  name: Name,
  version: Positive,
  summary: z.string().max(255),
  params: z.record(
    z.string(),
    z.object({ type: z.enum(['string', 'number', 'boolean', 'object', 'array']), required: z.boolean().optional() }),
  ),
  tasks: z.array(TaskDefinition).min(1).max(10_000),
  deadlineMs: Positive.max(604_800_000),
  /** References; the instance's output when it succeeds. */
  output: z.record(z.string(), z.unknown()).optional(),
});
export type WorkflowDefinition = z.infer<typeof WorkflowDefinition>;

/** Any context may ask for a workflow by an event that carries this; the id makes a second delivery harmless. */
export const WorkflowRequest = z.object({
  workflowId: Id,
  definition: WorkflowDefinition,
  params: z.record(z.string(), z.unknown()),
  subject: Id,
});
export type WorkflowRequest = z.infer<typeof WorkflowRequest>;

/** Any context may ask to cancel workflows by an event whose data carries this as `cancel`; asking again is harmless. */
export const WorkflowCancel = z.object({ workflowIds: z.array(Id).max(1000), reason: z.string().max(255) });
export type WorkflowCancel = z.infer<typeof WorkflowCancel>;

/** Text that is to arrive as it is, whatever `${…}` it holds: `$${` stands for `${` in an input. */
export const literal = (text: string): string => text.replaceAll('${', () => '$${');

export const Action = z.enum(['run', 'compensate']);
export type Action = z.infer<typeof Action>;

/** What an executor gets on `chrysalis.tasks.<group>`: the data of `task.dispatched`. */
export const TaskDispatch = z.object({
  workflowId: Id,
  task: Name,
  action: Action,
  attempt: Positive,
  kind: z.string(),
  executor: z.string(),
  group: z.enum(taskGroups),
  input: z.record(z.string(), z.unknown()),
  /** Rises with every dispatch of the workflow; an executor keeps the highest it has seen for a VM. */
  token: Positive,
  deadlineAt: Timestamp,
  tenant: z.string(),
});
export type TaskDispatch = z.infer<typeof TaskDispatch>;
/** The idempotency key of one execution. */
export const taskKey = (t: Pick<TaskDispatch, 'workflowId' | 'task' | 'action' | 'attempt'>): string =>
  `${t.workflowId}/${t.task}/${t.action}/${t.attempt}`;

export const Outcome = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true), output: z.record(z.string(), z.unknown()) }),
  z.object({ ok: z.literal(false), cause: Cause }),
]);
export type Outcome = z.infer<typeof Outcome>;

/** What an executor says; every executing context emits its own `chrysalis.<context>.task.reported.v1` with this data. */
export const TaskReport = z.object({
  workflowId: Id,
  task: Name,
  action: Action,
  attempt: Positive,
  token: Positive,
  executor: z.string(),
  outcome: Outcome,
  startedAt: Timestamp,
  endedAt: Timestamp,
});
export type TaskReport = z.infer<typeof TaskReport>;
export const taskReported = <C extends string>(context: C) =>
  event(`chrysalis.${context}.task.reported.v1` as const, 'An executor of this context finished or failed a task', TaskReport);

export const workflowStates = ['running', 'compensating', 'succeeded', 'undone', 'failed', 'stopped', 'cancelled'] as const;
export const WorkflowState = z.enum(workflowStates);
export type WorkflowState = z.infer<typeof WorkflowState>;

/** Stream: `workflow-<id>`. `missing` names the tasks not done (`stopped`), or whose effect is left (`failed`). `undone`: failed and fully compensated. `failed`: a compensation failed as well. `stopped`: failed after the point of no return. */
export const workflowEvents = {
  instanceStarted: event(
    'chrysalis.workflow.instance.started.v1',
    'A workflow instance began',
    WorkflowRequest.extend({ at: Timestamp, deadlineAt: Timestamp, tenant: z.string().optional() }),
  ),
  taskDispatched: event('chrysalis.workflow.task.dispatched.v1', 'A task was given to an executor', TaskDispatch.extend({ at: Timestamp })),
  taskSkipped: event(
    'chrysalis.workflow.task.skipped.v1',
    'A condition was false',
    z.object({ workflowId: Id, task: Name, reason: z.string(), at: Timestamp.optional() }),
  ),
  taskSucceeded: event(
    'chrysalis.workflow.task.succeeded.v1',
    'A task was done',
    z.object({
      workflowId: Id,
      task: Name,
      attempt: Positive,
      executor: z.string(),
      output: z.record(z.string(), z.unknown()),
      startedAt: Timestamp,
      endedAt: Timestamp,
    }),
  ),
  taskFailed: event(
    'chrysalis.workflow.task.failed.v1',
    'An attempt failed or passed its deadline',
    z.object({
      workflowId: Id,
      task: Name,
      attempt: Positive,
      executor: z.string(),
      cause: Cause,
      final: z.boolean(),
      retryAt: Timestamp.optional(),
      at: Timestamp.optional(),
    }),
  ),
  compensationStarted: event(
    'chrysalis.workflow.compensation.started.v1',
    'Finished tasks are undone in reverse order',
    z.object({ workflowId: Id, cause: Cause, task: Name.optional(), at: Timestamp.optional() }),
  ),
  taskCompensated: event(
    'chrysalis.workflow.task.compensated.v1',
    "A task's effect was undone",
    z.object({
      workflowId: Id,
      task: Name,
      attempt: Positive,
      output: z.record(z.string(), z.unknown()),
      at: Timestamp.optional(),
    }),
  ),
  compensationFailed: event(
    'chrysalis.workflow.compensation.failed.v1',
    'An attempt to undo a task failed',
    z.object({
      workflowId: Id,
      task: Name,
      attempt: Positive,
      cause: Cause,
      final: z.boolean(),
      retryAt: Timestamp.optional(),
      at: Timestamp.optional(),
    }),
  ),
  cancelRequested: event(
    'chrysalis.workflow.cancel.requested.v1',
    'Someone asked to cancel',
    z.object({ workflowId: Id, reason: z.string().max(255), at: Timestamp.optional() }),
  ),
  instanceEnded: event(
    'chrysalis.workflow.instance.ended.v1',
    'The instance is in a final state',
    z.object({
      workflowId: Id,
      subject: Id,
      name: Name,
      state: WorkflowState,
      cause: Cause.optional(),
      missing: z.array(Name).optional(),
      output: z.record(z.string(), z.unknown()),
      at: Timestamp,
    }),
  ),
} as const;
export type WorkflowEvent = EventsOf<typeof workflowEvents>;
