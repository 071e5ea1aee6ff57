import type { MigrateOutcome, MigrationProgress } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import type { MoveDeps } from './deps.ts';

export type TransferOptions = { readonly onProgress?: (p: MigrationProgress) => void; readonly signal?: AbortSignal };
type Deps = Pick<MoveDeps, 'driver' | 'now'> & { readonly maxPauseMs: number };

/** What a timer can hold. */
const MAX_TIMER_MS = 2_147_483_647;

/** Ends the attempt at the move's deadline, when it is cancelled, and when the guest stands still for longer than it may. */
export const migrateWithin = async (
  deps: Deps,
  vmId: string,
  move: SourceMove,
  { onProgress, signal }: TransferOptions,
): Promise<MigrateOutcome> => {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  const deadline = setTimeout(stop, Math.min(MAX_TIMER_MS, Math.max(0, Date.parse(move.deadlineAt) - deps.now())));
  deadline.unref();
  const pause = watchPause(deps.maxPauseMs, stop);
  try {
    return await deps.driver.migrate(vmId, {
      address: move.migrationAddress,
      limits: { downtimeLimitMs: move.downtimeLimitMs, maxBandwidthMiBps: move.maxBandwidthMiBps },
      signal: abort.signal,
      onProgress: (p) => (pause.saw(p.phase), onProgress?.(p)),
    });
  } finally {
    clearTimeout(deadline);
    pause.end();
    signal?.removeEventListener('abort', stop);
  }
};

/** In these phases the guest is stopped already. */
const standing: ReadonlySet<string> = new Set(['pre-switchover', 'device']);

const watchPause = (maxMs: number, stop: () => void): { saw: (phase: string) => void; end: () => void } => {
  let timer: NodeJS.Timeout | undefined;
  const end = (): void => (clearTimeout(timer), void (timer = undefined));
  return { saw: (phase) => (standing.has(phase) ? (timer ??= setTimeout(stop, maxMs)) : end()), end };
};
