import type { Report } from './faults.ts';

/**
 * `${params.name.path}`, `${tasks.name.output.path}`, in a `forEach` `${item.path}` and `${index}`, in a compensation `${executor}`; path
 * segments that are numbers index arrays.
 */
export type Reference = {
  readonly root: 'params' | 'tasks' | 'item' | 'index' | 'executor';
  readonly name: string;
  readonly path: readonly string[];
  readonly place: string;
};
export type Template =
  | { readonly kind: 'constant'; readonly value: unknown }
  | { readonly kind: 'reference'; readonly reference: Reference }
  | { readonly kind: 'text'; readonly parts: readonly (string | Reference)[] }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [string, Template])[] }
  | { readonly kind: 'array'; readonly items: readonly Template[] };

const MAX_DEPTH = 64;
const TOKEN = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;
const REFERENCE = /^(?:params\.([A-Za-z_][\w-]*)|tasks\.([a-z][a-z0-9-]*)\.output|(item))((?:\.[\w-]+)*)$/;

/** Parses JSON with references. Each fault goes to `report` with its place; the answer is then of no use. */
export const parseTemplate = (value: unknown, place: string, report: Report, depth = 0): Template => {
  if (typeof value === 'string') return parseText(value, place, report);
  if (value === null || typeof value !== 'object') return { kind: 'constant', value };
  if (depth === MAX_DEPTH) {
    report('workflow.input_too_deep', place, `nested more than ${MAX_DEPTH} deep`);
    return { kind: 'constant', value: null };
  }
  if (Array.isArray(value)) {
    const items = value.map((v, i) => parseTemplate(v, `${place}[${i}]`, report, depth + 1));
    return items.every(isConstant) ? { kind: 'constant', value: items.map((t) => t.value) } : { kind: 'array', items };
  }
  const entries = Object.entries(value).map(([k, v]) => [k, parseTemplate(v, `${place}.${k}`, report, depth + 1)] as const);
  const constant = entries.every(([, t]) => isConstant(t));
  return constant
    ? { kind: 'constant', value: Object.fromEntries(entries.map(([k, t]) => [k, (t as Constant).value])) }
    : { kind: 'object', entries };
};

type Constant = Extract<Template, { kind: 'constant' }>;
const isConstant = (t: Template): t is Constant => t.kind === 'constant';

const parseText = (text: string, place: string, report: Report): Template => {
  if (!text.includes('${')) return { kind: 'constant', value: text };
  const parts: (string | Reference)[] = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > from) parts.push(text.slice(from, match.index));
    from = match.index + match[0].length;
    parts.push(match[0] === '$${' ? '${' : referenceOf(match[1], place, report));
  }
  if (from < text.length) parts.push(text.slice(from));
  const [only] = parts;
  if (parts.length === 1 && typeof only === 'object') return { kind: 'reference', reference: only };
  return parts.every((p) => typeof p === 'string') ? { kind: 'constant', value: parts.join('') } : { kind: 'text', parts };
};

const referenceOf = (inner: string | undefined, place: string, report: Report): Reference | string => {
  if (inner === 'index' || inner === 'executor') return { root: inner, name: '', path: [], place };
  const match = inner === undefined ? null : REFERENCE.exec(inner);
  if (!match) {
    const said = inner === undefined ? '${' : `\${${inner.slice(0, 80)}}`;
    report('workflow.reference_malformed', place, `${said} is neither \${params.…} nor \${tasks.….output…}; write $\${ for a literal \${`);
    return '';
  }
  const [, param, task, , rest] = match;
  const path = rest ? rest.slice(1).split('.') : [];
  if (param !== undefined) return { root: 'params', name: param, path, place };
  return task === undefined ? { root: 'item', name: '', path, place } : { root: 'tasks', name: task, path, place };
};

export const referencesIn = (template: Template): readonly Reference[] => {
  switch (template.kind) {
    case 'constant':
      return [];
    case 'reference':
      return [template.reference];
    case 'text':
      return template.parts.filter((p) => typeof p !== 'string');
    case 'object':
      return template.entries.flatMap(([, t]) => referencesIn(t));
    case 'array':
      return template.items.flatMap(referencesIn);
  }
};

export type Lookup = (reference: Reference) => unknown;

/** `undefined` means absent: keys with it are left out, in arrays it is null, in text it is empty. */
export const resolve = (template: Template, lookup: Lookup): unknown => {
  switch (template.kind) {
    case 'constant':
      return template.value;
    case 'reference':
      return lookup(template.reference);
    case 'text':
      return template.parts.map((p) => (typeof p === 'string' ? p : asText(lookup(p)))).join('');
    case 'object':
      return Object.fromEntries(template.entries.map(([k, t]) => [k, resolve(t, lookup)] as const).filter(([, v]) => v !== undefined));
    case 'array':
      return template.items.map((t) => resolve(t, lookup) ?? null);
  }
};

const asText = (value: unknown): string => {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
};

/** The value at `path` inside, by own properties only; `undefined` where there is none. */
export const at = (value: unknown, path: readonly string[]): unknown => {
  let here = value;
  for (const key of path) {
    if (here === null || typeof here !== 'object' || !Object.hasOwn(here, key)) return undefined;
    here = (here as Record<string, unknown>)[key];
  }
  return here;
};
