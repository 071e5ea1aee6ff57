import type { Cause, Code, Outcome } from '@chrysalis/contracts';
import type { End } from '@chrysalis/workflow-core';

export const fail = (code: Code, message: string): Outcome & { ok: false } => failWith({ code, message, retriable: false });
const failWith = (cause: Cause): Outcome & { ok: false } => ({ ok: false, cause: { ...cause, message: cause.message.slice(0, 2000) } });

/** What a child's end is to the task that it was: its first cause is the task's, and may be tried again only where all of it is undone. */
export const outcomeOf = (workflowId: string, { state, cause, missing, output }: End): Outcome => {
  if (state === 'succeeded') return { ok: true, output: { workflowId, state, output } };
  const clean = isClean({ state, missing });
  const { code = 'workflow.ended', message = `the sub-workflow ended ${state}` } = cause ?? {};
  const detail = {
    ...(typeof cause?.detail === 'object' ? cause.detail : {}),
    workflowId,
    state,
    ...(missing ? { missing: missing.slice(0, 100) } : {}),
  };
  return failWith({ code, message, retriable: clean && cause?.retriable === true, detail });
};

/** Nothing of it is left. */
const isClean = ({ state, missing }: { state: End['state']; missing?: End['missing'] | undefined }): boolean =>
  (state === 'undone' || state === 'cancelled') && !missing?.length;

/** What undoing it came to. */
export const undoneOutcome = (workflowId: string, end: End): Outcome => {
  if (isClean(end)) return { ok: true, output: { workflowId, state: end.state } };
  return outcomeOf(workflowId, { ...end, state: end.state === 'succeeded' ? 'failed' : end.state });
};
