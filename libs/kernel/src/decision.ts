/** What a decider answers: the events to append, or a refusal with a stable code. A throw is a bug, never an answer. */
export type Decision<E, R extends Rejection = Rejection> =
  { readonly ok: true; readonly events: readonly E[] } | { readonly ok: false; readonly rejection: R };

/** An expected refusal. `code` is `noun.reason`, stable for ever; further fields are evidence for the caller. */
export type Rejection = { readonly code: string; readonly [evidence: string]: unknown };

export const accept = <E>(...events: E[]): Decision<E, never> => ({ ok: true, events });
export const reject = <R extends Rejection>(rejection: R): Decision<never, R> => ({ ok: false, rejection });

/** Ends an exhaustive `switch`: an event nobody handles breaks the build, and says so if it comes at run time. */
export const unreachable = (value: never): never => {
  throw new Error(`unhandled case ${JSON.stringify(value)}`);
};
