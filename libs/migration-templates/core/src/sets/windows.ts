// When moves of a set may begin at all.
import { MOST_SET_DAYS, windowsAt, type SetPolicy, type SetRun } from '@chrysalis/contracts';

type Timed = Readonly<{ policy?: SetPolicy | undefined; deadlineAt?: string | undefined }>;

const DAY_MS = 86_400_000;
/** Unless it is said: a week, or until its last window closes, within what a set may have. */
export const deadlineOf = ({ deadlineMs, policy }: SetRun, now: string): string => {
  const ends = (policy?.windows ?? []).map((w) => Date.parse(w.until) - Date.parse(now));
  const unlessTold = ends.length === 0 ? 7 * DAY_MS : Math.min(MOST_SET_DAYS * DAY_MS, Math.max(1, ...ends));
  return new Date(Date.parse(now) + (deadlineMs ?? unlessTold)).toISOString();
};

/** A set without windows may always; one with some may not where nobody says what time it is. */
export const isOpen = ({ policy }: Timed, now: string | undefined): boolean =>
  policy?.windows === undefined || (now !== undefined && windowsAt(policy.windows, now).open !== undefined);

/** None is open, and none opens before the set's deadline. */
export const areOver = ({ policy, deadlineAt }: Timed, now: string): boolean => {
  if (policy?.windows === undefined) return false;
  const { open, next } = windowsAt(policy.windows, now);
  if (open) return false;
  return next === undefined || (deadlineAt !== undefined && Date.parse(next.from) >= Date.parse(deadlineAt));
};

/** When the next one opens, or the one that is open closes: whichever comes first. */
export const nextTurn = ({ policy }: Timed, now: string): string | undefined => {
  const { open, next } = windowsAt(policy?.windows ?? [], now);
  return [open?.until, next?.from].filter((t) => t !== undefined).sort((a, b) => Date.parse(a) - Date.parse(b))[0];
};
