import { z } from 'zod';
import { event, taskGroups } from './define.ts';
import { Cause, Count, Id, Positive, Timestamp } from './shapes.ts';
import { TaskName } from './workflow-definition.ts';

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
type Execution = Pick<TaskDispatch, 'workflowId' | 'task' | 'action' | 'attempt' | 'token' | 'executor'>;
/** The report of what was dispatched. Without an end it took no time. */
export const reportOf = (execution: Execution, outcome: Outcome, startedAt: string, endedAt = startedAt): TaskReport => {
  const { workflowId, task, action, attempt, token, executor } = execution;
  return { workflowId, task, action, attempt, token, executor, outcome, startedAt, endedAt };
};
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
export const heartbeatOf = ({ workflowId, task, action, attempt, token, executor }: Execution, at: string): TaskHeartbeat => ({
  workflowId,
  task,
  action,
  attempt,
  token,
  executor,
  at,
});
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
