import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { Cause, Count, Id, Name, Positive, Timestamp } from './shapes.ts';
import { Action, TaskBid, TaskDispatch, TaskOffer } from './task-execution.ts';
import { Change, ChangeEffect } from './workflow-changes.ts';
import { TaskName, WorkflowDefinition } from './workflow-definition.ts';
import type { InstanceQueued } from './workflow-queue.ts';

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
    "A task's effect was undone, at one executor where several may have had it",
    z.object({
      workflowId: Id,
      task: TaskName,
      attempt: Positive,
      output: z.record(z.string(), z.unknown()),
      /** Executors at which it is still to be undone; absent: none, it is undone. */
      left: Positive.optional(),
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
      /** Of `stopped` and `failed`: whose run, or whose undo, failed for good; the first 100. Whoever repairs it begins there. */
      failed: z.array(TaskName).optional(),
      output: z.record(z.string(), z.unknown()),
      at: Timestamp,
    }),
  ),
} as const;
export type WorkflowEvent = EventsOf<typeof workflowEvents> | InstanceQueued;
