import type { Code } from './codes/index.ts';
import type { Cause } from './shapes.ts';

/**
 * What was thrown, as the cause of a task's failure: what carries one of our codes keeps it, with its evidence and whether it may be
 * tried again; what nobody foresaw is `unforeseen`, and may be.
 */
export const causeOf = (error: unknown, unforeseen: Code): Cause => {
  const { code, message, retriable, detail } = (error ?? {}) as {
    code?: unknown;
    message?: unknown;
    retriable?: unknown;
    detail?: unknown;
  };
  const words = String(message ?? error).slice(0, 2000);
  if (typeof code !== 'string' || !isOurs.test(code)) return { code: unforeseen, message: words, retriable: true };
  return { code, message: words, retriable: retriable !== false, ...(detail === undefined ? {} : { detail }) };
};
/** `noun.reason`: neither `23505` of PostgreSQL nor `ECONNREFUSED` of the system. */
const isOurs = /^[a-z][a-z0-9_-]{0,62}\.[a-z0-9_.-]{1,64}$/;
