export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Canonical JSON (RFC 8785 for the values we use: no floats beyond integers in hashed data): keys sorted, no blanks. */
export const canonicalJson = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map((v) => canonicalJson(v ?? null)).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return `{${entries.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`;
  }
  return JSON.stringify(value);
};

/** With a stack of our own: 1 MiB of `[` is deeper than the machine's, and recursion over it would throw. */
export const isDeeperThan = (value: unknown, depth: number): boolean => {
  let level: unknown[] = [value];
  for (let d = 0; level.length > 0; d++) {
    const inside = level.filter((v) => typeof v === 'object' && v !== null) as object[];
    if (inside.length > 0 && d >= depth) return true;
    level = inside.flatMap((v) => Object.values(v) as unknown[]);
  }
  return false;
};

/** Neither `text` nor `jsonb` can hold a NUL or half of a surrogate pair. Of values whose depth was checked before. */
export const isStorable = (value: unknown): boolean => {
  if (typeof value === 'string') return !value.includes('\0') && value.isWellFormed();
  if (!isObject(value)) return true;
  return Object.entries(value).every(([name, inner]) => isStorable(name) && isStorable(inner));
};

/** The same with U+FFFD in place of what could not be kept: for what a guest wrote, which nobody can send back to be mended. */
export const storable = <T>(value: T): T => (isStorable(value) ? value : (mended(value) as T));
const mended = (value: unknown): unknown => {
  if (typeof value === 'string') return value.replaceAll('\0', '\uFFFD').toWellFormed();
  if (Array.isArray(value)) return value.map(mended);
  return isObject(value) ? Object.fromEntries(Object.entries(value).map(([k, v]) => [mended(k), mended(v)])) : value;
};

/** Places of the members that `given` has and `kept`, what a schema made of it, has not: `nics.0.vlan`. 100 at most. */
export const droppedMembers = (given: unknown, kept: unknown, place = ''): string[] => {
  if (!isObject(given) || !isObject(kept)) return [];
  return Object.keys(given)
    .flatMap((name) => (Object.hasOwn(kept, name) ? droppedMembers(given[name], kept[name], `${place}${name}.`) : [`${place}${name}`]))
    .slice(0, 100);
};
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null;
