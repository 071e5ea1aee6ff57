import { reportOf, type Cause, type EventContract, type Outcome, type Refusal, type TaskDispatch } from '@chrysalis/contracts';
import type { MessageContext } from '../context.ts';
import { wordsOf } from '../http/words.ts';

export type TaskResult<O> = { readonly ok: true; readonly output: O } | { readonly ok: false; readonly cause: Cause };
export const done = <O extends Record<string, unknown>>(output: O): { readonly ok: true; readonly output: O } => ({ ok: true, output });
export const failed = (cause: Cause): { readonly ok: false; readonly cause: Cause } => ({ ok: false, cause });
/** The task goes on, and its report comes by `report` when it has ended. Whoever answers so has written down, in this transaction, who owes it. */
export const later = { ok: undefined } as const;
export type Later = typeof later;

/** Where a workflow's tasks are reported to, in each executor's log. */
export const reportStream = ({ workflowId }: Pick<TaskDispatch, 'workflowId'>): string => `task-${workflowId}`;

/** The report of an execution that was answered with `later`, in the transaction that knows its end. Said twice, the second is refused by the workflow. */
export const report = async (
  context: MessageContext,
  dispatch: TaskDispatch,
  outcome: Outcome,
  { reported, startedAt, endedAt = context.now }: { reported: EventContract; startedAt: string; endedAt?: string },
): Promise<void> => {
  await context.append(reportStream(dispatch), 'any', {
    type: reported.type,
    data: reportOf(dispatch, outcome, startedAt, endedAt),
  });
};

/** A decider's refusal as a task's failure. Refusals are final: trying the same again changes nothing, unless said otherwise. */
export const refused = (rejection: Refusal, retriable = false): { readonly ok: false; readonly cause: Cause } => {
  const { code, message: _, ...detail } = rejection;
  return failed({ code, message: wordsOf(rejection), retriable, detail });
};
