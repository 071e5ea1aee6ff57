import { z } from 'zod';
import { event, type EventOf } from './define.ts';
import { Count, Id, Name, Positive, Timestamp } from './shapes.ts';

/** 0 (last) to 9 (first); 5 unless told. */
export const QueuePriority = Count.max(9);
export const DEFAULT_PRIORITY = 5;

const Running = Count.max(1_000_000);
/** `running`: workflows at a time, 0 stops new starts. `queued`: requests that may wait. `weight`: its share where tenants compete, 1 unless told. */
export const TenantLimit = z.strictObject({
  running: Running.optional(),
  queued: Count.max(100_000).optional(),
  weight: Positive.max(1_000).optional(),
});
export type TenantLimit = z.infer<typeof TenantLimit>;

/** How many workflows may run at a time. What is left out has no limit. A kind is the name of a template. Sub-workflows run beside it. */
export const WorkflowLimits = z.strictObject({
  overall: z.strictObject({ running: Running.optional() }).optional(),
  /** For each tenant that `tenants` does not name. */
  perTenant: TenantLimit.optional(),
  tenants: z.record(z.string().min(1).max(64), TenantLimit).optional(),
  kinds: z.record(Name, z.strictObject({ running: Running })).optional(),
});
export type WorkflowLimits = z.infer<typeof WorkflowLimits>;

/** Stream: `workflow-<id>`, before its start. */
export const instanceQueued = event(
  'chrysalis.workflow.instance.queued.v1',
  'A request was taken and waits for its start: a limit is reached',
  z.object({
    workflowId: Id,
    subject: Id,
    tenant: z.string(),
    name: Name,
    version: Positive,
    summary: z.string().max(255),
    tasks: Count,
    priority: QueuePriority,
    at: Timestamp,
    /** Not started by then, it ends: `workflow.queue_deadline_passed`. */
    expiresAt: Timestamp,
  }),
);
export type InstanceQueued = EventOf<typeof instanceQueued>;

/** Stream: `workflow-limits`. */
export const limitsSet = event(
  'chrysalis.workflow.limits.set.v1',
  'An administrator set how many workflows may run; these replace those before',
  z.object({ limits: WorkflowLimits, at: Timestamp }),
);

export const workflowQueueEvents = { instanceQueued, limitsSet } as const;
