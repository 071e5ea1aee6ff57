import type { CodeEntries } from './entry.ts';

/** Workflow policies: refusals, the faults of a policy, and why one does not fire. */
export const policiesCodes = {
  'workflow-policy.unknown': { status: 404, title: 'There is no such workflow policy', next: 'chrysalis workflow policy list' },
  'workflow-policy.invalid': { status: 422, title: 'The policy has faults', next: 'mend what `faults` names, and apply it again' },
  'workflow-policy.params_invalid': {
    status: 422,
    title: 'What it would start with has faults',
    next: 'correct what the policy fills in where `faults` says',
  },
  'workflow-policy.disabled': { status: 409, title: 'The policy is disabled', next: 'enable it first' },
  'workflow-policy.name_taken': { status: 409, title: 'Another tenant has a policy of this name', next: 'take another name' },
  'workflow-policy.foreign_tenant': {
    status: 403,
    title: 'Only an administrator of the fleet may write for another tenant',
    next: 'ask with a token of that tenant, or of the fleet’s administration',
  },
  'policy.backlog_full': {
    title: 'Too many firings of the policy wait already',
    next: 'make room in the queue, or let it fire less often',
  },
  'policy.event_too_large': { title: 'The event is larger than a policy takes', next: 'let its publisher say less' },
  'policy.condition_false': { title: 'The condition is false', next: 'nothing: it does not fire' },
  'policy.foreign_event': { title: 'The event is of another tenant', next: 'nothing: it does not fire' },
  'policy.not_on_events': { title: 'The policy fires on a schedule', next: 'test it with a time' },
  'policy.not_scheduled': { title: 'The policy fires on events', next: 'test it with an event' },
  'policy.other_event': { title: 'The policy waits for another event', next: 'nothing: it does not fire' },
  'policy.event_unknown': {
    title: 'No context has such an event',
    next: 'name one that the documents of the events have (GET /asyncapi.json)',
  },
  'policy.schedule_malformed': { title: 'Not a schedule', next: 'write it as in cron, in a time zone that there is' },
  'policy.reference_unknown': {
    title: 'Nothing is known under this name where the policy fires',
    next: 'refer to what the event or the schedule has',
  },
  'policy.subject_malformed': { title: 'What the subject refers to gives no id', next: 'refer to something that is one' },
  'policy.too_large': { title: 'The params are larger than may be', next: 'give fewer' },
} as const satisfies CodeEntries;
