import type { Cause, TaskDefinition } from '@chrysalis/contracts';

type Retry = NonNullable<TaskDefinition['retry']>;
const once: Retry = { attempts: 1, backoffMs: 0 };
/** An undo that is not tried again leaves an effect behind: without a policy of its own it gets this one. */
export const undoRetry: Retry = { attempts: 5, backoffMs: 200, maxBackoffMs: 10_000 };

export const retryOf = (definition: TaskDefinition, action: 'run' | 'compensate'): Retry =>
  action === 'run' ? (definition.retry ?? once) : (definition.compensation?.retry ?? undoRetry);

/**
 * Milliseconds until the next attempt, or `undefined` where this was the last. A run is tried again only for a failure that its executor
 * calls retriable, an undo for every failure that is not called final; a list of codes rules out all others.
 */
export const backoff = (retry: Retry, action: 'run' | 'compensate', attempt: number, cause: Cause): number | undefined => {
  if (attempt >= retry.attempts) return undefined;
  const wanted = action === 'run' ? cause.retriable === true : cause.retriable !== false;
  if (retry.codes ? !retry.codes.includes(cause.code) : !wanted) return undefined;
  return Math.min(retry.backoffMs * 2 ** (attempt - 1), retry.maxBackoffMs ?? 3_600_000);
};

export const DEADLINE_PASSED = 'workflow.deadline_passed';
export const CANCELLED = 'workflow.cancelled';
export const HEARTBEAT_MISSED = 'workflow.heartbeat_missed';
/** Causes of executions that ended without a fault of theirs: they count for no limit of attempts. */
export const AWARD_LAPSED = 'workflow.award_lapsed';
export const SUPERSEDED = 'workflow.superseded';
export const REASSIGNED = 'workflow.reassigned';
export const AGAIN = 'workflow.run_again';

export const uncounted: ReadonlySet<string> = new Set([AWARD_LAPSED, SUPERSEDED, REASSIGNED, AGAIN]);

/** Milliseconds after which a second execution is worth its while; `undefined`: never, or nobody knows what is usual. */
export const hedgeAfter = (definition: TaskDefinition, usualMs: Readonly<Record<string, number>>): number | undefined => {
  const { hedge, kind } = definition;
  if (!hedge) return undefined;
  const usual = Object.hasOwn(usualMs, kind) ? usualMs[kind] : undefined;
  const byFactor = hedge.factor === undefined || usual === undefined ? undefined : Math.ceil(usual * hedge.factor);
  const waits = [byFactor, hedge.afterMs].filter((w) => w !== undefined);
  return waits.length > 0 ? Math.max(...waits) : undefined;
};
