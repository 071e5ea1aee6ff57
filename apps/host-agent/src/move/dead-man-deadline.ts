import type { MigrateOutcome, MigrateRequest, MigrationProgress } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import { cancelledBy, deadlineAt } from './deadline.ts';
import type { MoveDeps } from './deps.ts';
import { copySecret } from './copies.ts';
import { TaskFailure } from '../execution/task-failure.ts';

export type TransferOptions = { readonly onProgress?: (p: MigrationProgress) => void; readonly signal?: AbortSignal };
/** `approved`: before it resolves nothing is switched over; where it rejects, nothing is at all. */
type Held = { readonly approved?: Promise<void> };
type Deps = Pick<MoveDeps, 'driver' | 'now'> & { readonly maxPauseMs: number; readonly stallMs: number };

/**
 * Under the dead-man deadline, which is the agent's own: the guest is back by then, with no word from the control plane. Ends the attempt
 * at it, when it is cancelled, when the guest stands still for longer than it may, and when it makes no progress; and says which of these
 * it was, whatever QEMU calls the end that it came to. Progress is told as it goes (`onProgress`), every 200 ms; the agent sends it on as
 * `progress` frames, which are `GET /v1/progress` of the API.
 */
export const migrateUntilDeadline = async (
  deps: Deps,
  vmId: string,
  move: SourceMove,
  { onProgress, signal, approved }: TransferOptions & Held,
): Promise<MigrateOutcome> => {
  const abort = new AbortController();
  let why: TaskFailure | undefined;
  const stop = (failure: TaskFailure): void => {
    why ??= failure;
    abort.abort();
  };
  const cancelled = (): void => stop(cancelledBy(signal!.reason));
  signal?.addEventListener('abort', cancelled, { once: true });
  if (signal?.aborted) cancelled();
  approved?.catch((error: unknown) => stop(error instanceof TaskFailure ? error : cancelledBy(error)));
  const wholeS = Math.round((Date.parse(move.deadlineAt) - Date.parse(move.startedAt)) / 1000);
  const late = new TaskFailure('host.transfer_deadline', `it had not ended ${wholeS} s after it began, at its deadline`);
  const deadline = deadlineAt(move.deadlineAt, deps.now, late);
  deadline.signal.addEventListener('abort', () => stop(late));
  const pause = watchPause(deps.maxPauseMs, () =>
    stop(new TaskFailure('host.pause_exceeded', `the guest stood still for more than ${deps.maxPauseMs} ms`)),
  );
  try {
    const outcome = await deps.driver.migrate(vmId, {
      address: move.migrationAddress,
      limits: { downtimeLimitMs: move.downtimeLimitMs, maxBandwidthMiBps: move.maxBandwidthMiBps },
      stallMs: deps.stallMs,
      ...(approved ? { released: approved } : {}),
      ...howOf(move),
      signal: abort.signal,
      onProgress: (p) => (pause.saw(p.phase), onProgress?.(p)),
    });
    if (outcome.outcome === 'completed' || !why) return outcome;
    throw new TaskFailure(why.code, `${why.message} (${outcome.cause.message})`);
  } finally {
    deadline.end();
    pause.end();
    signal?.removeEventListener('abort', cancelled);
  }
};

/** As its template says. */
const howOf = ({ copies, peerToken, postCopy, streams, throttle }: SourceMove): Partial<MigrateRequest> => ({
  ...(copies ? { copies: { ...copies, secret: copySecret(peerToken) } } : {}),
  ...(postCopy ? { postCopy } : {}),
  ...(streams ? { streams } : {}),
  ...(throttle ? { throttle: true } : {}),
});

/** In these phases the guest is stopped already. */
const standing: ReadonlySet<string> = new Set(['pre-switchover', 'device']);

const watchPause = (maxMs: number, stop: () => void): { saw: (phase: string) => void; end: () => void } => {
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => (clearTimeout(timer), void (timer = undefined));
  return { saw: (phase) => (standing.has(phase) ? (timer ??= setTimeout(stop, maxMs)) : end()), end };
};
