import {
  type Code,
  type Coded,
  type PolicyCause,
  type PolicySpec,
  type WorkflowDefinition,
  type WorkflowPolicyEvent,
  workflowPolicyEvents as events,
} from '@chrysalis/contracts';
import { accept, canonicalJson, reject, unreachable, type Decider, type Decision } from '@chrysalis/kernel';
import { policyFaults, type PolicyFault } from './faults.ts';
import { fill, type PolicyScope } from './mapping.ts';
import { validateParams } from '../definition/validate.ts';

// Stream `workflow-policy-<name>`: what starts workflows by itself. Not `policy.ts`, which is about trying tasks again.

export type Policy = Readonly<{
  status: 'none' | 'enabled' | 'disabled' | 'removed';
  revision: number;
  tenant: string;
  spec?: PolicySpec;
  /** Since when it is enabled, ISO 8601. */
  enabledAt?: string;
}>;
export type KnownPolicy = Policy & { readonly spec: PolicySpec };

/** `at` is ISO 8601 and comes in with the command; `template` is what `spec.start.template` names now. */
export type PolicyCommand =
  | Readonly<{ type: 'establish'; spec: PolicySpec; tenant: string; template: WorkflowDefinition | undefined; at: string }>
  | Readonly<{ type: 'enable' | 'disable' | 'remove'; name: string; reason: string; at: string }>
  | Readonly<{ type: 'fire'; cause: PolicyCause; scope: PolicyScope; template: WorkflowDefinition | undefined; at: string }>;

/**
 * - `workflow-policy.unknown`: there is none of that name.
 * - `workflow-policy.invalid`: every fault is in `faults`.
 * - `workflow-policy.name_taken`: another tenant's.
 * - `workflow-policy.disabled`: it does not fire.
 * - `workflow-policy.params_invalid`: what the event gave does not fit the template.
 */
export type PolicyRejection = Coded<
  | { readonly code: 'workflow-policy.unknown' | 'workflow-policy.name_taken' | 'workflow-policy.disabled'; readonly name?: string }
  | {
      readonly code: 'workflow-policy.invalid' | 'workflow-policy.params_invalid';
      readonly message: string;
      readonly faults: readonly (PolicyFault | { code: Code; place: string; message: string })[];
    }
>;
type Answer = Decision<WorkflowPolicyEvent, PolicyRejection>;

const initial: Policy = { status: 'none', revision: 0, tenant: '' };
export const isKnown = (policy: Policy): policy is KnownPolicy => policy.status === 'enabled' || policy.status === 'disabled';

const decide = (command: PolicyCommand, policy: Policy): Answer => {
  switch (command.type) {
    case 'establish':
      return establish(command, policy);
    case 'enable':
    case 'disable':
    case 'remove':
      return switchOver(command, policy);
    case 'fire':
      return fire(command, policy);
    default:
      return unreachable(command);
  }
};

/** The same again says nothing. Another content is a new revision; whether it is enabled stays as it was. */
const establish = ({ spec, tenant, template, at }: Extract<PolicyCommand, { type: 'establish' }>, policy: Policy): Answer => {
  if (isKnown(policy) && policy.tenant !== tenant) return reject({ code: 'workflow-policy.name_taken', name: spec.name });
  const faults = policyFaults(spec, template);
  if (faults.length > 0) return reject({ code: 'workflow-policy.invalid', message: textOf(faults), faults });
  if (isKnown(policy) && canonicalJson(policy.spec) === canonicalJson(spec)) return accept();
  return accept({ type: events.policyEstablished.type, data: { name: spec.name, revision: policy.revision + 1, tenant, spec, at } });
};

type Switch = Extract<PolicyCommand, { type: 'enable' | 'disable' | 'remove' }>;
const switchOver = ({ type, name, reason, at }: Switch, policy: Policy): Answer => {
  if (!isKnown(policy)) return reject({ code: 'workflow-policy.unknown', name });
  const data = { name, reason, at };
  if (type === 'remove') return accept({ type: events.policyRemoved.type, data });
  if (policy.status === `${type}d`) return accept();
  return accept({ type: type === 'enable' ? events.policyEnabled.type : events.policyDisabled.type, data });
};

/** That a cause fires once is its id's matter: whoever records it keeps `workflowId` unique. */
const fire = ({ cause, scope, template, at }: Extract<PolicyCommand, { type: 'fire' }>, policy: Policy): Answer => {
  if (!isKnown(policy)) return reject({ code: 'workflow-policy.unknown' });
  const { spec, revision } = policy;
  const { name, start } = spec;
  if (policy.status === 'disabled') return reject({ code: 'workflow-policy.disabled', name });
  const faults = [...policyFaults(spec, template)];
  if (faults.length > 0) return reject({ code: 'workflow-policy.params_invalid', message: textOf(faults), faults });
  const { params, subject } = filled(spec, scope);
  const wrong = [...validateParams(template!, params), ...(SUBJECT.test(subject) ? [] : [badSubject])];
  if (wrong.length > 0) return reject({ code: 'workflow-policy.params_invalid', message: textOf(wrong), faults: wrong });
  const workflowId = policyWorkflowId(name, cause);
  return accept({
    type: events.policyFired.type,
    data: { name, revision, workflowId, template: start.template, params, subject, cause, at },
  });
};

const SUBJECT = /^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,126}$/;
const badSubject = { code: 'policy.subject_malformed', place: 'start.subject', message: 'what the subject refers to gives no id' } as const;

const filled = ({ start }: PolicySpec, scope: PolicyScope): { params: Record<string, unknown>; subject: string } => ({
  params: fill(start.params, scope) as Record<string, unknown>,
  subject: String(fill(start.subject, scope) ?? ''),
});

/** One id for one cause, whoever works it out and how often: that is what keeps a workflow from starting twice. */
export const policyWorkflowId = (name: string, cause: PolicyCause): string =>
  `by-policy-${name}-${cause.kind === 'event' ? cause.eventId : cause.at.replaceAll(/[-:]/g, '').replace('.000Z', 'Z')}`;

const textOf = (faults: readonly { place: string; message: string }[]): string =>
  faults
    .map((f) => `${f.place}: ${f.message}`)
    .join('; ')
    .slice(0, 2000);

const evolve = (policy: Policy, e: WorkflowPolicyEvent): Policy => {
  switch (e.type) {
    case 'chrysalis.workflow.policy.established.v1': {
      const { spec, tenant, revision, at } = e.data;
      return policy.status === 'enabled'
        ? { status: 'enabled', revision, tenant, spec, enabledAt: at }
        : { status: 'disabled', revision, tenant, spec };
    }
    case 'chrysalis.workflow.policy.enabled.v1':
      return { ...policy, status: 'enabled', enabledAt: e.data.at };
    case 'chrysalis.workflow.policy.disabled.v1': {
      const { enabledAt: _, ...rest } = policy;
      return { ...rest, status: 'disabled' };
    }
    case 'chrysalis.workflow.policy.removed.v1':
      return { status: 'removed', revision: policy.revision, tenant: policy.tenant };
    case 'chrysalis.workflow.policy.fired.v1':
      return policy;
    default:
      return unreachable(e);
  }
};

export const policyDecider: Decider<PolicyCommand, Policy, WorkflowPolicyEvent, Answer> = { initial, decide, evolve };
export const policyStream = (name: string): string => `workflow-policy-${name}`;
