import { type Coded, WorkflowTemplate } from '@chrysalis/contracts';
import { canonicalJson, droppedMembers, isDeeperThan } from '@chrysalis/kernel';
import type { Fault } from './faults.ts';
import { validateDefinition } from './validate.ts';

export type TemplateFault = Coded<Omit<Fault, 'code'> & { readonly code: Fault['code'] | 'workflow.too_large' | 'workflow.too_deep' }>;
export type Judged =
  | { readonly ok: true; readonly template: WorkflowTemplate; readonly text: string }
  | { readonly ok: false; readonly faults: readonly TemplateFault[] };

/**
 * Of the canonical JSON, in characters. A start carries the whole definition in one event, with up to 128 Ki of params; a broker takes
 * messages of 1 MiB.
 */
export const MAX_TEMPLATE = 786_432;
export const MAX_DEPTH = 100;
/** So many are told; a template with more is told that there are more. */
const MAX_FAULTS = 1_000;

/** Everything that is wrong with what somebody would publish, or what it is and its canonical text. Takes anything; bounded in time. */
export const judgeTemplate = (value: unknown): Judged => {
  if (isDeeperThan(value, MAX_DEPTH)) return refused([fault('workflow.too_deep', '', `nested more than ${MAX_DEPTH} deep`)]);
  const parsed = WorkflowTemplate.safeParse(value);
  const strays = strayMembers(value, parsed.success ? parsed.data : undefined);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((i) => fault('workflow.shape_invalid', placeOf(i.path), i.message));
    return refused([...strays, ...faults]);
  }
  const text = canonicalJson(parsed.data);
  if (text.length > MAX_TEMPLATE)
    return refused([fault('workflow.too_large', '', `${text.length} characters of JSON, at most ${MAX_TEMPLATE}`)]);
  if (routes.has(parsed.data.name)) strays.push(fault('workflow.shape_invalid', 'name', `${parsed.data.name} is the name of a route`));
  const faults = [...strays, ...validateDefinition({ ...parsed.data, version: 1 })];
  return faults.length > 0 ? refused(faults) : { ok: true, template: parsed.data, text };
};

const fault = (code: TemplateFault['code'], place: string, message: string): TemplateFault => ({ code, place, message });

const refused = (faults: readonly TemplateFault[]): Judged => {
  const more = faults.length - MAX_FAULTS;
  const told = more > 0 ? [...faults.slice(0, MAX_FAULTS), fault('workflow.shape_invalid', '', `and ${more} more faults`)] : faults;
  return { ok: false, faults: told };
};

/** Members that the shape does not know: parsing drops them, and a dropped `dependsOn` would be an order that nobody keeps. */
const strayMembers = (given: unknown, parsed: unknown): TemplateFault[] =>
  droppedMembers(given, parsed).map((path) =>
    fault('workflow.shape_invalid', path.replaceAll(/\.(\d+)(?=\.|$)/g, '[$1]'), path === 'version' ? VERSION : 'there is no such member'),
  );
/** `/v1/workflow-templates/schema` is no template. */
const routes = new Set(['schema', 'validate']);
const VERSION = 'the registry gives the version; leave it out';

const placeOf = (path: readonly PropertyKey[]): string =>
  path.map((p, i) => (typeof p === 'number' ? `[${p}]` : `${i === 0 ? '' : '.'}${String(p)}`)).join('');
