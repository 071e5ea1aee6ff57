import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { Count, Id, Name, Positive, Timestamp } from './shapes.ts';

/** Of the fleet and no tenant: sees every tenant's events, and what it starts may touch every tenant's VMs. Only an administrator's. */
export const FLEET_TENANT = '*';

/**
 * What fires a policy: an event of this type of which the condition holds (CEL over `event`: `id`, `type`, `subject`, `time`, `tenant`,
 * `actor`, `data`), or each slot of a cron expression (5 fields, or 6 with seconds first) in a time zone, UTC unless named.
 */
export const PolicyTrigger = z.union([
  z.strictObject({
    event: z
      .string()
      .max(128)
      .regex(/^chrysalis\.[a-z-]+\.[a-z.-]+\.v[1-9][0-9]*$/),
    when: z.string().min(1).max(1024).optional(),
  }),
  z.strictObject({ schedule: z.string().min(1).max(128), timezone: z.string().min(1).max(64).optional() }),
]);
export type PolicyTrigger = z.infer<typeof PolicyTrigger>;

/** `maxRunning`: of its workflows at a time, one unless told. `minIntervalMs`: between two starts. What has to wait is kept, not lost. */
export const PolicyLimits = z.strictObject({
  maxRunning: Positive.max(1000).optional(),
  minIntervalMs: Count.max(31 * 86_400_000).optional(),
});

/**
 * The workflow to start. `params` are JSON with references: `${event.data.x}` (also `id`, `type`, `subject`, `time`, `tenant`, `actor`) or
 * `${schedule.at}`; a string that is one reference takes the value's type, `$${` stands for `${`. `subject` may hold references too.
 */
export const PolicyStart = z.strictObject({
  template: z.string().regex(/^[a-z][a-z0-9-]{0,62}@[1-9][0-9]{0,8}$/),
  params: z.record(z.string().max(63), z.unknown()),
  subject: z.string().min(1).max(255),
  priority: Count.max(9).optional(),
});

export const PolicySpec = z.strictObject({
  name: Name,
  summary: z.string().min(1).max(255),
  on: PolicyTrigger,
  start: PolicyStart,
  limits: PolicyLimits.optional(),
  /** Whose events it sees and whose workflows it starts; the caller's own unless told. `*`: the fleet's, for administrators. */
  tenant: z.string().min(1).max(64).optional(),
});
export type PolicySpec = z.infer<typeof PolicySpec>;

/** `missed`: how many earlier slots nobody served while the service was down; they are not made up for. */
export const PolicyCause = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('event'), eventId: Id, eventType: z.string().max(128), subject: z.string().max(255) }),
  z.object({ kind: z.literal('schedule'), at: Timestamp, missed: Count }),
]);
export type PolicyCause = z.infer<typeof PolicyCause>;

const Reason = z.string().max(255);

/** Stream: `workflow-policy-<name>`. */
export const workflowPolicyEvents = {
  policyEstablished: event(
    'chrysalis.workflow.policy.established.v1',
    'A policy was written down, or written anew; it fires only while it is enabled',
    z.object({ name: Name, revision: Positive, tenant: z.string().max(64), spec: PolicySpec, at: Timestamp }),
  ),
  policyEnabled: event(
    'chrysalis.workflow.policy.enabled.v1',
    'A policy fires from now on',
    z.object({ name: Name, reason: Reason, at: Timestamp }),
  ),
  policyDisabled: event(
    'chrysalis.workflow.policy.disabled.v1',
    'A policy does not fire any more; what it started goes on',
    z.object({ name: Name, reason: Reason, at: Timestamp }),
  ),
  policyRemoved: event(
    'chrysalis.workflow.policy.removed.v1',
    'A policy is gone; its name may be used again',
    z.object({ name: Name, reason: Reason, at: Timestamp }),
  ),
  policyFired: event(
    'chrysalis.workflow.policy.fired.v1',
    'A policy started a workflow; the id follows from the cause, so that nothing starts it twice',
    z.object({
      name: Name,
      revision: Positive,
      workflowId: Id,
      template: PolicyStart.shape.template,
      params: z.record(z.string(), z.unknown()),
      subject: Id,
      cause: PolicyCause,
      at: Timestamp,
    }),
  ),
} as const;
export type WorkflowPolicyEvent = EventsOf<typeof workflowPolicyEvents>;
