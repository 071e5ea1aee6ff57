import type { z } from 'zod';

type Raw = z.core.$ZodRawIssue;
const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  bigint: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  set: 'a list',
  object: 'an object',
  record: 'an object',
  map: 'an object',
  null: 'null',
  undefined: 'nothing',
};
const formats: Readonly<Record<string, string>> = {
  datetime: 'an instant such as 2026-11-30T08:00:00Z',
  date: 'a day such as 2026-11-30',
  email: 'an email address',
  url: 'a URL',
  uuid: 'a UUID',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  base64: 'base64',
  base64url: 'base64url',
};
const kindOf = (value: unknown): string => {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value;
};
const textOf = (value: unknown): string => (typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? 'nothing'));

/** What it is to be, and where that helps what it is: as the schemas' own messages say it (`a share such as 10%`). */
export const wordsOfIssue = (issue: Raw): string => {
  switch (issue.code) {
    case 'invalid_type':
      return wrongType(issue.expected, issue.input);
    case 'invalid_value':
      return issue.values.length === 1 ? textOf(issue.values[0]) : `one of ${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return sized(issue.origin, issue.exact ? 'exactly' : bound(issue.inclusive, 'at least', 'more than'), issue.minimum);
    case 'too_big':
      return sized(issue.origin, issue.exact ? 'exactly' : bound(issue.inclusive, 'at most', 'less than'), issue.maximum);
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_format':
      return wrongFormat(issue.format, issue.pattern);
    case 'unrecognized_keys':
      return NO_SUCH_MEMBER;
    case 'invalid_key':
      return 'its name is none that may be here';
    default:
      return oneOfShapes(issue);
  }
};

/** Of shapes that differ by one member (`kind`) those that it may have. */
const oneOfShapes = (issue: Raw): string => {
  const { options } = issue as { readonly options?: readonly unknown[] };
  return Array.isArray(options) && options.length > 0
    ? `one of ${options.map(String).join(', ')}`
    : 'none of the shapes that this may have';
};

/** Of a member that a schema does not know. */
export const NO_SUCH_MEMBER = 'there is no such member';

const wrongType = (expected: string, input: unknown): string => {
  const wanted = kinds[expected] ?? expected;
  if (input === undefined) return `${wanted}, and it is missing`;
  const given = kindOf(input);
  return given === 'number' && expected !== 'string'
    ? `${wanted}, not ${String(input as number)}`
    : `${wanted}, not ${kinds[given] ?? given}`;
};

const bound = (inclusive: boolean | undefined, including: string, without: string): string => (inclusive === false ? without : including);
const sized = (origin: string, how: string, size: number | bigint): string => {
  const one = Number(size) === 1;
  if (origin === 'string') return `${how} ${size} character${one ? '' : 's'}`;
  if (origin === 'array' || origin === 'set') return `${how} ${size} element${one ? '' : 's'}`;
  if (origin === 'object' || origin === 'record' || origin === 'map') return `${how} ${size} member${one ? '' : 's'}`;
  return `${how} ${size}`;
};

const wrongFormat = (format: string, pattern: string | undefined): string =>
  format === 'regex' ? `text as ${pattern ?? 'the schema says'}` : (formats[format] ?? `text of the format ${format}`);
