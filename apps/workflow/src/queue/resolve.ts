import { type Coded, parseTemplateRef, type WorkflowDefinition } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { canonicalJson, isDeeperThan } from '@chrysalis/kernel';
import { MAX_DEPTH, validateParams, validateRequest, type TemplateFault } from '@chrysalis/workflow-core';
import { namesOf } from '@chrysalis/service-kit';
import { templateOf, templatesThere } from '../sql/templates.ts';

/** Of the canonical JSON, in characters. */
const MAX_PARAMS = 131_072;
const KEPT = 200;

export type RequestRejection = Coded<
  | { readonly code: 'workflow.template_unknown'; readonly template: string; readonly known: readonly string[]; readonly message: string }
  | { readonly code: 'workflow.template_retired'; readonly template: string; readonly message: string }
  | { readonly code: 'workflow.request_invalid'; readonly faults: readonly TemplateFault[]; readonly message: string }
>;
export type Resolved =
  { readonly ok: true; readonly definition: WorkflowDefinition } | { readonly ok: false; readonly rejection: RequestRejection };

/** Versions never change: each is read once, and compiled once, as the compiled graph is kept by the object. The oldest goes first. */
const known = new Map<string, WorkflowDefinition>();

export const definitionOf = async (
  db: Queryable,
  schema: string,
  name: string,
  version: number,
): Promise<WorkflowDefinition | undefined> => {
  const key = `${schema} ${name}@${version}`;
  const found = known.get(key) ?? (await templateOf(db, schema, name, version))?.definition;
  if (found) remember(key, found);
  return found;
};
const remember = (key: string, definition: WorkflowDefinition): void => {
  if (known.has(key)) return;
  known.set(key, definition);
  if (known.size > KEPT) known.delete(known.keys().next().value!);
};

/** The definition that `name@3`, or `name` for the newest, means for a new start. */
export const resolveTemplate = async (db: Queryable, schema: string, text: string): Promise<Resolved> => {
  const ref = parseTemplateRef(text);
  const row = ref && (await templateOf(db, schema, ref.name, ref.version));
  if (!row) {
    const known = await templatesThere(db, schema, ref?.name ?? text);
    return no({
      code: 'workflow.template_unknown',
      template: text,
      known,
      message: `there is no workflow template ${text}; ${namesOf(known)}`,
    });
  }
  if (row.retired) return no({ code: 'workflow.template_retired', template: text, message: `${text} is retired: no new starts` });
  remember(`${schema} ${row.name}@${row.version}`, row.definition);
  return { ok: true, definition: known.get(`${schema} ${row.name}@${row.version}`) ?? row.definition };
};

/** Every fault of the params; `undefined` where there is none. Of a definition that comes with the request its own faults, too. */
export const refusalOf = (
  definition: WorkflowDefinition,
  params: Readonly<Record<string, unknown>>,
  inline: boolean,
): RequestRejection | undefined => {
  if (isDeeperThan(params, MAX_DEPTH))
    return invalid([{ code: 'workflow.too_deep', place: 'params', message: `nested more than ${MAX_DEPTH} deep` }]);
  const { length } = canonicalJson(params);
  if (length > MAX_PARAMS)
    return invalid([{ code: 'workflow.too_large', place: 'params', message: `${length} characters of JSON, at most ${MAX_PARAMS}` }]);
  const faults = inline ? validateRequest({ definition, params }) : validateParams(definition, params);
  return faults.length > 0 ? invalid(faults) : undefined;
};

export const invalid = (faults: readonly TemplateFault[]): RequestRejection => ({
  code: 'workflow.request_invalid',
  faults,
  message: faults
    .slice(0, 20)
    .map((f) => `${f.place}: ${f.message}`)
    .join('; ')
    .slice(0, 2000),
});
const no = (rejection: RequestRejection): Resolved => ({ ok: false, rejection });
