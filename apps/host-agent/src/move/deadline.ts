import { TaskFailure } from '../execution/task-failure.ts';

/** What a timer can hold. */
const MAX_TIMER_MS = 2_147_483_647;

export type Deadline = { readonly signal: AbortSignal; readonly end: () => void };

/** Aborted with `why` when that moment has come, at once where it has been; `end` it when it is not waited for any more. It keeps no process. */
export const deadlineAt = (at: string, now: () => number, why: TaskFailure): Deadline => {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(why), Math.min(MAX_TIMER_MS, Math.max(0, Date.parse(at) - now())));
  timer.unref();
  return { signal: over.signal, end: () => clearTimeout(timer) };
};

/** Why something ended that was called off. */
export const cancelledBy = (reason: unknown): TaskFailure =>
  reason instanceof TaskFailure ? reason : new TaskFailure('task.cancelled', 'it was cancelled');

/** Rejects when it is aborted, with why; unheard it harms nobody. */
export const rejectsWhen = (over: AbortSignal): Promise<never> => {
  const rejects = new Promise<never>((_, fail) => {
    const abort = (): void => fail(cancelledBy(over.reason));
    if (over.aborted) abort();
    else over.addEventListener('abort', abort, { once: true });
  });
  rejects.catch(() => undefined);
  return rejects;
};
