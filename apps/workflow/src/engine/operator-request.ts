import type { Coded } from '@chrysalis/contracts';
import { createHash } from 'node:crypto';
import type { StoredEvent } from '@chrysalis/event-store';
import { canonicalJson } from '@chrysalis/kernel';

// What an operator asks for with an `Idempotency-Key` is done once: the key goes into the log with the events that it led to, as their
// causation, so that whoever decides next knows it, in the same append or not at all.

export type OperatorRejection = Coded<
  | { readonly code: 'stream.version_mismatch'; readonly expected: number; readonly actual: number }
  | { readonly code: 'idempotency.key_reused' }
>;

const ASKED = /^ask:[0-9a-f]{32}:[0-9a-f]{16}$/;
const hash = (text: string, length: number): string => createHash('sha256').update(text).digest('hex').slice(0, length);

/** Of the caller's key, and of what is asked: the same key for something else is told apart. */
export const requestKey = (tenant: string, key: string, request: unknown): string =>
  `ask:${hash(canonicalJson([tenant, key]), 32)}:${hash(canonicalJson(request), 16)}`;

export const requestKeysIn = (history: readonly StoredEvent[]): readonly string[] => [
  ...new Set(history.flatMap(({ meta }) => (meta.causationId !== undefined && ASKED.test(meta.causationId) ? [meta.causationId] : []))),
];

/** What an operator's request is known by (`requestKey`), and the version it was made from. */
export type OperatorRequest = { readonly key?: string; readonly ifVersion?: number };

/** `done`: it has been; a rejection: it is not to be decided at all; `undefined`: it is. */
export const checkRequest = (
  { key, ifVersion }: OperatorRequest,
  requestKeys: readonly string[] | undefined,
  version: number,
): OperatorRejection | 'done' | undefined => {
  if (key !== undefined && requestKeys) {
    if (requestKeys.includes(key)) return 'done';
    const same = key.slice(0, key.lastIndexOf(':') + 1);
    if (requestKeys.some((k) => k.startsWith(same))) return { code: 'idempotency.key_reused' };
  }
  return ifVersion !== undefined && ifVersion !== version
    ? { code: 'stream.version_mismatch', expected: ifVersion, actual: version }
    : undefined;
};
