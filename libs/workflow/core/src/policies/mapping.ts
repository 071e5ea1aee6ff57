import type { PolicyEvent } from './condition.ts';
import { at } from '../definition/references.ts';

/** What a policy's params may refer to: the event, or the slot of the schedule (ISO 8601). */
export type PolicyScope = { readonly event: PolicyEvent } | { readonly schedule: { readonly at: string } };
export type PolicyReference = { readonly root: 'event' | 'schedule'; readonly path: readonly string[]; readonly place: string };

const TOKEN = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;
const REFERENCE = /^(event|schedule)((?:\.[A-Za-z0-9_-]+)+)$/;
const MAX_DEPTH = 16;

type Part = string | Omit<PolicyReference, 'place'>;

/** The parts of a text; `undefined` in place of a token that is no reference. */
const partsOf = (text: string): (Part | undefined)[] => {
  const parts: (Part | undefined)[] = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    if (match.index > from) parts.push(text.slice(from, match.index));
    from = match.index + match[0].length;
    parts.push(match[0] === '$${' ? '${' : referenceOf(match[1]));
  }
  if (from < text.length || parts.length === 0) parts.push(text.slice(from));
  return parts;
};

const referenceOf = (inner: string | undefined): Part | undefined => {
  const match = REFERENCE.exec(inner ?? '');
  return match ? { root: match[1] as 'event' | 'schedule', path: match[2]!.slice(1).split('.') } : undefined;
};

type Found = { readonly references: PolicyReference[]; readonly malformed: { place: string; text: string }[] };

/** Every reference in a value, and every `${…}` that is none, each with its place. */
export const referencesOf = (value: unknown, place: string): Found => {
  const found: Found = { references: [], malformed: [] };
  collect(value, place, found, 0);
  return found;
};

const collect = (value: unknown, place: string, found: Found, depth: number): void => {
  if (typeof value === 'string')
    for (const part of partsOf(value)) {
      if (part === undefined) found.malformed.push({ place, text: value.slice(0, 80) });
      else if (typeof part !== 'string') found.references.push({ ...part, place });
    }
  if (value === null || typeof value !== 'object') return;
  if (depth === MAX_DEPTH) return void found.malformed.push({ place, text: `nested more than ${MAX_DEPTH} deep` });
  for (const [key, inner] of Object.entries(value)) collect(inner, `${place}.${key}`, found, depth + 1);
};

/** A string that is one reference and nothing else. */
export const soleReference = (value: unknown): PolicyReference | undefined => {
  const [only, ...more] = typeof value === 'string' ? partsOf(value) : [];
  return typeof only === 'object' && more.length === 0 ? { ...only, place: '' } : undefined;
};

/** The value with its references filled in: a key whose value is not there is left out, in text it is empty. */
export const fill = (value: unknown, scope: PolicyScope): unknown => {
  if (typeof value === 'string') return fillText(value, scope);
  if (Array.isArray(value)) return value.map((v) => fill(v, scope) ?? null);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).flatMap(([k, v]) => present(k, fill(v, scope))));
};
const present = (key: string, value: unknown): [string, unknown][] => (value === undefined ? [] : [[key, value]]);

const fillText = (text: string, scope: PolicyScope): unknown => {
  const sole = soleReference(text);
  if (sole) return at(scope, [sole.root, ...sole.path]);
  return partsOf(text)
    .map((p) => (typeof p === 'object' ? asText(at(scope, [p.root, ...p.path])) : (p ?? '')))
    .join('');
};
const asText = (value: unknown): string =>
  value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
