import { type Coded, contractOf, type PolicySpec, type WorkflowDefinition } from '@chrysalis/contracts';
import { parseEventCondition } from './condition.ts';
import { referencesOf, soleReference, type PolicyReference } from './mapping.ts';
import { scheduleFault } from './schedule.ts';
import { eventPathType, type JsonType } from './types.ts';

/** One thing wrong with a policy. `place` is a path into it, e.g. `start.params.hostId`. Codes are stable. */
export type PolicyFault = Coded<{ readonly code: PolicyFaultCode; readonly place: string; readonly message: string }>;
export type PolicyFaultCode =
  | 'policy.event_unknown'
  | 'workflow.condition_malformed'
  | 'workflow.condition_refused'
  | 'policy.schedule_malformed'
  | 'workflow.template_unknown'
  | 'workflow.reference_malformed'
  | 'policy.reference_unknown'
  | 'policy.too_large'
  | 'workflow.param_missing'
  | 'workflow.param_type'
  | 'workflow.param_undeclared';
type Say = (code: PolicyFaultCode, place: string, message: string) => void;

/** Every fault at once. `template` is the definition that `start.template` names, `undefined` where there is none. */
export const policyFaults = (spec: PolicySpec, template: Pick<WorkflowDefinition, 'params'> | undefined): readonly PolicyFault[] => {
  const faults: PolicyFault[] = [];
  const say: Say = (code, place, message) => void faults.push({ code, place, message });
  triggerFaults(spec, say);
  referenceFaults(spec, say);
  if (template) paramFaults(spec, template, say);
  else say('workflow.template_unknown', 'start.template', `there is no template ${spec.start.template}`);
  return faults;
};

const triggerFaults = ({ on }: PolicySpec, say: Say): void => {
  if ('schedule' in on) {
    const fault = scheduleFault(on.schedule, on.timezone);
    if (fault !== undefined) say('policy.schedule_malformed', 'on.schedule', fault);
    return;
  }
  if (!contractOf.has(on.event)) say('policy.event_unknown', 'on.event', `no context has an event ${on.event}`);
  if (on.when !== undefined) parseEventCondition(on.when, (code, message) => say(code, 'on.when', message));
};

/** Of the params as JSON, in characters; and references in all, as each may stand for the whole of an event's text. */
const MAX_PARAMS = 65_536;
const MAX_REFERENCES = 100;

const referenceFaults = (spec: PolicySpec, say: Say): void => {
  const { params, subject } = spec.start;
  const { length } = JSON.stringify(params);
  if (length > MAX_PARAMS) return say('policy.too_large', 'start.params', `${length} characters of JSON, at most ${MAX_PARAMS}`);
  let count = 0;
  const form = 'event' in spec.on ? '${event.data.…}' : '${schedule.at}';
  for (const [value, place] of [[params, 'start.params'] as const, [subject, 'start.subject'] as const]) {
    const { references, malformed } = referencesOf(value, place);
    for (const m of malformed)
      say('workflow.reference_malformed', m.place, `${m.text}: a reference is ${form}; write $\${ for a literal \${`);
    count += references.length;
    for (const r of references)
      if (typeOf(spec, r) === 'absent')
        say('policy.reference_unknown', r.place, `nothing is known as ${r.root}.${r.path.join('.')} where this policy fires`);
  }
  if (count > MAX_REFERENCES) say('policy.too_large', 'start', `${count} references, at most ${MAX_REFERENCES}`);
};

const typeOf = ({ on }: PolicySpec, { root, path }: Pick<PolicyReference, 'root' | 'path'>): JsonType => {
  if (root === 'schedule') return 'schedule' in on && path.join('.') === 'at' ? 'string' : 'absent';
  return 'event' in on ? eventPathType(on.event, path) : 'absent';
};

const paramFaults = (spec: PolicySpec, template: Pick<WorkflowDefinition, 'params'>, say: Say): void => {
  const { params, template: name } = spec.start;
  for (const [param, { type, required = true }] of Object.entries(template.params)) {
    const place = `start.params.${param}`;
    if (!Object.hasOwn(params, param)) {
      if (required) say('workflow.param_missing', place, `${name} needs ${param} (${type})`);
      continue;
    }
    const given = typeOfParam(spec, params[param]);
    if (given !== type && given !== 'unknown' && given !== 'absent') say('workflow.param_type', place, `${param} is ${given}, not ${type}`);
  }
  for (const param of Object.keys(params))
    if (!Object.hasOwn(template.params, param))
      say('workflow.param_undeclared', `start.params.${param}`, `${param} is not a param of ${name}`);
};

const typeOfParam = (spec: PolicySpec, value: unknown): string => {
  const reference = soleReference(value);
  if (reference) return typeOf(spec, reference);
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
};
