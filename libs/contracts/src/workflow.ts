import { z } from 'zod';
import { event, taskGroups, type EventsOf } from './define.ts';
import { Cause, Count, Id, Name, Positive, Timestamp } from './shapes.ts';
import type { InstanceQueued } from './workflow-queue.ts';

export const Retry = z.object({
  attempts: Positive.max(20),
  backoffMs: Count.max(600_000),
  maxBackoffMs: Count.max(3_600_000).optional(),
  /** Only these codes are retried; absent: every failure that the executor calls retriable. */
  codes: z.array(z.string().max(128)).max(64).optional(),
});

export const awardRules = ['lowest-cost', 'spread', 'affinity'] as const;

export const Route = z.discriminatedUnion('mode', [
  /** To the members of a service's group: any instance takes it. */
  z.object({ mode: z.literal('group'), group: z.enum(taskGroups) }),
  /** To one executor, `host:<id>`; the group is the one that can reach it. `executor` may be a reference. */
  z.object({ mode: z.literal('direct'), group: z.enum(taskGroups), executor: z.string().max(255) }),
  /**
   * Offered to the executors of the group that run the kind and bear every label; each may bid until the window closes, and the rule names
   * the winner: `lowest-cost`; `spread`: who has fewest of this workflow's tasks; `affinity`: the named executor if it bids. Among equals
   * the cheaper, then the freer one. An executor that lost rank comes after all that did not.
   */
  z.object({
    mode: z.literal('bid'),
    group: z.enum(taskGroups),
    labels: z.record(Name, z.string().max(255)).optional(),
    windowMs: Positive.max(60_000),
    award: z.enum(awardRules),
    /** `host:<id>`, may be a reference; for the rule `affinity`. */
    near: z.string().max(255).optional(),
    /** An award that has not begun by then has lapsed, and the task is offered anew. */
    beginWithinMs: Positive.max(600_000),
    /** How often it is offered in a row where nobody bids. */
    offers: Positive.max(100),
    /** Without any bid after that: this executor is told to do it; absent: the task fails with `workflow.no_bid`. */
    otherwise: z.string().max(255).optional(),
  }),
]);
export type Route = z.infer<typeof Route>;

export const sections = ['prepare', 'pre-migration', 'hot-unplug', 'migration', 'hot-plug', 'post-migration', 'verify'] as const;
export const Section = z.enum(sections);
export type Section = z.infer<typeof Section>;

/** A task as it is named in events: of the template, or `<task>.<n>`, the n-th item (from 0) of a `forEach`. */
export const TaskName = z.string().regex(/^[a-z][a-z0-9-]{0,62}(\.(0|[1-9][0-9]{0,4}))?$/);

/**
 * Inputs hold JSON with references: `${params.x.y}` and `${tasks.name.output.z}`, in a `forEach` also `${item.x}` and `${index}`, in a compensation
 * `${executor}` (who ran the task); a string that is one reference takes the value's type.
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
  /** Without a word from the executor for so long, the attempt has failed: `workflow.heartbeat_missed`. */
  heartbeatMs: Positive.min(100).max(3_600_000).optional(),
  /** 0 (last) to 9 (first) among the tasks that are ready; 5 where it is absent. */
  priority: z.int().min(0).max(9).optional(),
  /**
   * One execution per item; `items` is a reference to an array, `concurrency` how many at a time. Input, executor and condition may then
   * say `${item.x}` and `${index}` (CEL: `item`, `index`). The task's own output is `{ count, items: [outputs in order] }`.
   */
  forEach: z.object({ items: z.string().max(512), concurrency: Positive.max(10_000) }).optional(),
  /** Running it twice at the same time does no harm: what `hedge` asks for. */
  idempotent: z.boolean().optional(),
  /** A second execution beside the first, once that has taken `afterMs`, or `factor` times the usual (p95 of earlier runs). The first result counts. */
  hedge: z.object({ afterMs: Positive.max(86_400_000).optional(), factor: z.number().min(1).max(100).optional() }).optional(),
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
  /** It only looks: there is nothing to undo. */
  effect: z.literal('none').optional(),
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
  /** Every task that may run before a point of no return must have a compensation, or no effect. */
  undoable: z.boolean().optional(),
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
  /** Of a sub-workflow: the execution that it is. Its end is that task's report. */
  parent: z.object({ workflowId: Id, task: TaskName, attempt: Positive, token: Positive, deadlineAt: Timestamp }).optional(),
  /** Milliseconds that the kinds of its tasks usually take (p95 of earlier runs): what a `hedge` with a factor goes by. */
  usualMs: z.record(z.string(), Count).optional(),
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
  task: TaskName,
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
  /** At least this often the executor says that it is still at it (`task.heartbeat`). */
  heartbeatMs: Positive.optional(),
  /** An award: without a heartbeat or report by then it has lapsed. */
  beginBy: Timestamp.optional(),
  /** A second execution beside the one under way. */
  hedge: z.literal(true).optional(),
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
  task: TaskName,
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

/** Said at the start of an execution, and then at least every `heartbeatMs` of its dispatch. */
export const TaskHeartbeat = z.object({
  workflowId: Id,
  task: TaskName,
  action: Action,
  attempt: Positive,
  token: Positive,
  executor: z.string().max(255),
  at: Timestamp,
});
export type TaskHeartbeat = z.infer<typeof TaskHeartbeat>;
export const taskHeartbeat = <C extends string>(context: C) =>
  event(`chrysalis.${context}.task.heartbeat.v1` as const, 'An executor of this context began, or is still at, a task', TaskHeartbeat);

/** An offer as executors see it: what is to be done, and until when they may bid. The input is not shown before the award. */
export const TaskOffer = z.object({
  workflowId: Id,
  task: TaskName,
  action: Action,
  /** The attempt that the award will be. */
  attempt: Positive,
  /** Counts the offers of a workflow; a bid names it. */
  offer: Positive,
  kind: z.string(),
  group: z.enum(taskGroups),
  labels: z.record(z.string(), z.string()),
  closesAt: Timestamp,
  tenant: z.string(),
});
export type TaskOffer = z.infer<typeof TaskOffer>;

/** An executor's bid. `cost` is in the executor's own measure, comparable within a kind: expected milliseconds. `free`: how many more it could take. */
export const TaskBid = z.object({
  workflowId: Id,
  task: TaskName,
  offer: Positive,
  executor: z.string().min(1).max(255),
  cost: z.number().min(0).max(1e12),
  free: Count.max(1_000_000),
  ready: z.boolean(),
  at: Timestamp,
});
export type TaskBid = z.infer<typeof TaskBid>;
export const taskBid = <C extends string>(context: C) =>
  event(`chrysalis.${context}.task.bid.v1` as const, 'An executor of this context bids for a task', TaskBid);

/** What an operator may change in an instance while it runs. Refused where it would rewrite what has happened. */
export const Change = z.discriminatedUnion('type', [
  /** `before`: tasks that have not begun and are to wait for it. */
  z.object({ type: z.literal('add-task'), task: TaskDefinition, before: z.array(Name).max(256).optional() }),
  z.object({ type: z.literal('duplicate-task'), task: Name, as: Name, route: Route.optional() }),
  z.object({ type: z.literal('skip-task'), task: TaskName }),
  /** Of a task that has not begun; `with` has its name. */
  z.object({ type: z.literal('replace-task'), task: Name, with: TaskDefinition }),
  /** What is left out stays. */
  z.object({
    type: z.literal('rewire'),
    task: Name,
    input: z.record(z.string(), z.unknown()).optional(),
    after: z.array(Name).max(256).optional(),
  }),
  /** An execution under way is fenced and begun anew there. */
  z.object({ type: z.literal('reassign'), task: TaskName, route: Route }),
  /** Without a task: the instance's own deadline, counted from its start. */
  z.object({
    type: z.literal('set-limits'),
    task: Name.optional(),
    deadlineMs: Positive.max(604_800_000).optional(),
    concurrency: Positive.max(10_000).optional(),
    retry: Retry.optional(),
    heartbeatMs: Positive.min(100).max(3_600_000).optional(),
    priority: z.int().min(0).max(9).optional(),
  }),
  /** Nothing new is given out; what is under way goes on, its deadlines too. */
  z.object({ type: z.literal('pause') }),
  z.object({ type: z.literal('resume') }),
  /** Runs it, and all that depends on it, again; a stopped instance goes on. */
  z.object({ type: z.literal('retry-from'), task: TaskName }),
  /** An operator did it by hand, and says what came of it. An execution under way is fenced. */
  z.object({ type: z.literal('mark-done'), task: TaskName, output: z.record(z.string(), z.unknown()) }),
]);
export type Change = z.infer<typeof Change>;

export const ChangeEffect = z.object({
  counts: z.object({ total: Count, succeeded: Count, skipped: Count, failed: Count, compensated: Count }),
  deadlineAt: Timestamp,
  again: z.array(TaskName).max(10_000).optional(),
});
export type ChangeEffect = z.infer<typeof ChangeEffect>;

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
    z.object({ workflowId: Id, task: TaskName, reason: z.string(), at: Timestamp.optional() }),
  ),
  taskSucceeded: event(
    'chrysalis.workflow.task.succeeded.v1',
    'A task was done',
    z.object({
      workflowId: Id,
      task: TaskName,
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
      task: TaskName,
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
    z.object({ workflowId: Id, cause: Cause, task: TaskName.optional(), at: Timestamp.optional() }),
  ),
  taskCompensated: event(
    'chrysalis.workflow.task.compensated.v1',
    "A task's effect was undone",
    z.object({
      workflowId: Id,
      task: TaskName,
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
      task: TaskName,
      attempt: Positive,
      cause: Cause,
      final: z.boolean(),
      retryAt: Timestamp.optional(),
      at: Timestamp.optional(),
    }),
  ),
  taskExpanded: event(
    'chrysalis.workflow.task.expanded.v1',
    'A `forEach` found its items: each is a task of its own now',
    z.object({ workflowId: Id, task: Name, count: Count.max(100_000), at: Timestamp }),
  ),
  taskOffered: event('chrysalis.workflow.task.offered.v1', 'Executors may bid for a task', TaskOffer.extend({ at: Timestamp })),
  bidReceived: event(
    'chrysalis.workflow.bid.received.v1',
    'An executor bids. `rank` is 0 but for one that failed or let an award lapse not long ago',
    TaskBid.extend({ rank: Count }),
  ),
  heartbeatRecorded: event(
    'chrysalis.workflow.heartbeat.recorded.v1',
    'An executor is at it; recorded no more often than its deadline asks for',
    z.object({ workflowId: Id, task: TaskName, action: Action, attempt: Positive, token: Positive, at: Timestamp }),
  ),
  instanceChanged: event(
    'chrysalis.workflow.instance.changed.v1',
    'An operator changed a running instance',
    z.object({
      workflowId: Id,
      change: Change,
      actor: z.string().max(255),
      reason: z.string().max(255),
      at: Timestamp,
      /** What it led to, for whoever has no graph: where tasks stand now, the deadline, and which tasks will run again. */
      effect: ChangeEffect.optional(),
    }),
  ),
  /** `compensate` false: what is done stays, and the end names it. */
  cancelRequested: event(
    'chrysalis.workflow.cancel.requested.v1',
    'Someone asked to cancel',
    z.object({ workflowId: Id, reason: z.string().max(255), compensate: z.boolean().optional(), at: Timestamp.optional() }),
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
      missing: z.array(TaskName).optional(),
      output: z.record(z.string(), z.unknown()),
      at: Timestamp,
    }),
  ),
} as const;
export type WorkflowEvent = EventsOf<typeof workflowEvents> | InstanceQueued;
