import type { Blocker, Code } from '@chrysalis/contracts';

/** A reason with its stable code; `subject` is the VM, host, type or step it is about. */
export const blocker = (code: Code, subject: string, message: string, remedy?: string): Blocker =>
  remedy === undefined ? { code, subject, message } : { code, subject, message, remedy };

/** The same reason about the same thing once, in the order found. */
export const distinct = (blockers: readonly Blocker[]): Blocker[] => {
  const seen = new Set<string>();
  return blockers.filter((b) => {
    const key = `${b.code} ${b.subject} ${b.message}`;
    return seen.has(key) ? false : (seen.add(key), true);
  });
};
