import { byToken, isOpen, lastAttempt, type TaskState, type TimerEntry } from './state.ts';

const waitsToRetry = ({ phase }: TaskState): boolean => phase === 'retrying' || phase === 'compensation-retrying';

/** Whether what the entry was planted for is over, or has moved to a later entry. */
export const isStale = (entry: TimerEntry, task: TaskState): boolean => {
  const { kind, token, at } = entry;
  if (kind === 'offer') return task.phase !== 'offered' || task.offer?.number !== token;
  if (kind === 'retry') return !waitsToRetry(task) || lastAttempt(task)?.token !== token;
  const attempt = byToken(task, token);
  if (!attempt || !isOpen(attempt)) return true;
  switch (kind) {
    case 'deadline':
      return at !== Date.parse(attempt.deadlineAt);
    case 'begin':
      return attempt.heardAt !== undefined;
    case 'heartbeat':
      return attempt.heartbeatMs === undefined || at < (attempt.heardAt ?? Date.parse(attempt.dispatchedAt)) + attempt.heartbeatMs;
    case 'hedge':
      return task.attempts.some((a) => a.hedge && isOpen(a));
  }
};
