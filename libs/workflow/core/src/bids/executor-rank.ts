import type { Cause } from '@chrysalis/contracts';
import { AGAIN, CANCELLED, DEADLINE_PASSED, REASSIGNED, SUPERSEDED } from '../instance/retry.ts';

/** The first loss of rank lasts so long; each one more while it lasts doubles it. Milliseconds. */
export const RANK_SPAN_MS = 30_000;
export const LONGEST_RANK_SPAN_MS = 1_800_000;
const LOWEST = 7;
/** A loss older than this weighs nothing any more, however many there were: the sum of all spans. */
export const RANK_MEMORY_MS = 3_700_000;

/** `rank` is 0 but for an executor that failed an award not long ago; `until` (milliseconds since 1970): when it rises by one. */
export type Rank = { readonly rank: number; readonly until?: number };

const spanOf = (rank: number): number => Math.min(RANK_SPAN_MS * 2 ** (rank - 1), LONGEST_RANK_SPAN_MS);

/**
 * From the moments of its losses, in milliseconds since 1970, in any order: whoever has seen the same events has the same answer. It comes
 * back step by step, each as long as the loss of that step was.
 */
export const executorRank = (losses: readonly number[], now: number): Rank => {
  let rank = 0;
  let until = 0;
  const settle = (at: number): void => {
    while (rank > 0 && until <= at) {
      rank -= 1;
      if (rank > 0) until += spanOf(rank);
    }
  };
  for (const at of [...losses].sort((a, b) => a - b)) {
    if (at > now) break;
    settle(at);
    rank = Math.min(rank + 1, LOWEST);
    until = at + spanOf(rank);
  }
  settle(now);
  return rank > 0 ? { rank, until } : { rank: 0 };
};

/** Ends of an award that its winner is not to blame for. */
const blameless: ReadonlySet<string> = new Set([SUPERSEDED, REASSIGNED, AGAIN, CANCELLED, 'task.cancelled', 'executor.input_invalid']);
export const isLoss = ({ code, detail }: Cause): boolean =>
  !blameless.has(code) && !(code === DEADLINE_PASSED && (detail as { of?: unknown } | undefined)?.of === 'workflow');
