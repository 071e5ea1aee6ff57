import type { Code, PolicyCause, WorkflowDefinition } from '@chrysalis/contracts';
import { FLEET_TENANT } from '@chrysalis/contracts';
import {
  nextSlot,
  parseEventCondition,
  policyDecider,
  type KnownPolicy,
  type PolicyEvent,
  type PolicyScope,
} from '@chrysalis/workflow-core';
import { causeOf } from './intake.ts';

export type Tried = { readonly event: Partial<PolicyEvent> & { readonly type: string } } | { readonly at: string };
type Why = { readonly fires: false; readonly why: { readonly code: Code; readonly message: string; readonly faults?: unknown } };
type Answer = Why | { readonly fires: true; readonly workflowId: string; readonly params: unknown; readonly subject: string };

const not = (code: Code, message: string, faults?: unknown): Why => ({
  fires: false,
  why: { code, message, ...(faults === undefined ? {} : { faults }) },
});

/** What it would do, were it enabled. `id` and `now` stand in for what the event does not say. */
export const tryPolicy = (
  policy: KnownPolicy,
  given: Tried,
  template: WorkflowDefinition | undefined,
  { id, now }: { id: string; now: string },
): Answer & { readonly next?: string } => {
  if ('at' in given) return onSchedule(policy, given.at, template, now);
  const { on, start } = policy.spec;
  if (!('event' in on)) return not('policy.not_on_events', 'it fires on a schedule');
  const event: PolicyEvent = { id, subject: start.subject, time: now, tenant: policy.tenant, actor: 'user:test', data: {}, ...given.event };
  if (event.type !== on.event) return not('policy.other_event', `it waits for ${on.event}`);
  if (policy.tenant !== FLEET_TENANT && event.tenant !== policy.tenant)
    return not('policy.foreign_event', `it sees the events of ${policy.tenant} alone`);
  const verdict = on.when === undefined ? undefined : parseEventCondition(on.when, () => undefined)?.evaluate(event);
  if (verdict && !verdict.ok) return not('workflow.condition_failed', verdict.message);
  if (verdict && !verdict.value) return not('policy.condition_false', on.when!);
  return fired(policy, causeOf(event), { event }, template, now);
};

const onSchedule = (
  policy: KnownPolicy,
  at: string,
  template: WorkflowDefinition | undefined,
  now: string,
): Answer & { readonly next?: string } => {
  const { on } = policy.spec;
  if (!('schedule' in on)) return not('policy.not_scheduled', 'it fires on events');
  const next = nextSlot(on.schedule, on.timezone, at);
  const cause = { kind: 'schedule', at, missed: 0 } as const;
  return { ...fired(policy, cause, { schedule: { at } }, template, now), ...(next === undefined ? {} : { next }) };
};

const fired = (
  policy: KnownPolicy,
  cause: PolicyCause,
  scope: PolicyScope,
  template: WorkflowDefinition | undefined,
  at: string,
): Answer => {
  const decision = policyDecider.decide({ type: 'fire', cause, scope, template, at }, { ...policy, status: 'enabled' });
  if (!decision.ok) {
    const { code, ...more } = decision.rejection;
    return not(code, 'message' in more ? more.message : code, 'faults' in more ? more.faults : undefined);
  }
  const { workflowId, params, subject } = decision.events[0]!.data as { workflowId: string; params: unknown; subject: string };
  return { fires: true, workflowId, params, subject };
};
