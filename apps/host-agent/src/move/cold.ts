import type { MigrateOutcome } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import { causeOf } from '../execution/cause.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { bringBack, type Place } from './bring-back.ts';
import type { MoveDeps } from './deps.ts';
import { look } from './look.ts';

// The source's half of a cold move: its guest is over, and its process gone, before the fence; what undoes that is a start.

/** Has the guest shut down and its process ended: by the ways, and in the time, that the move says. */
export type ShutDown = (signal: AbortSignal) => Promise<unknown>;
export type ColdOptions = { readonly shutDown?: ShutDown | undefined; readonly signal?: AbortSignal };

export const isCold = ({ method }: Pick<SourceMove, 'method'>): boolean => method === 'restart';

/** Ended as a transfer is: `completed` means that the guest is over here, and that nothing of it runs. */
export const shutDownUntilDeadline = async (
  deps: Pick<MoveDeps, 'driver' | 'now'>,
  vmId: string,
  move: SourceMove,
  { shutDown, signal }: ColdOptions,
): Promise<MigrateOutcome> => {
  if (!shutDown) throw new TaskFailure('host.transfer_interrupted', 'nobody says how the guest is to shut down');
  const begunMs = deps.now();
  const late = new TaskFailure('host.transfer_deadline', 'it had not shut down at the deadline of its move');
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(late), Math.max(0, Date.parse(move.deadlineAt) - begunMs));
  timer.unref();
  let stoppedAtUs: number | undefined;
  const deaf = deps.driver.onLifecycle((e) => {
    if (e.vmId === vmId && e.kind === 'shut-down') stoppedAtUs ??= e.atUs;
  });
  try {
    const over = AbortSignal.any([deadline.signal, ...(signal ? [signal] : [])]);
    await shutDown(over).catch((error: unknown) => {
      if (!over.aborted) throw error;
      throw over.reason instanceof TaskFailure ? over.reason : new TaskFailure('task.cancelled', 'it was cancelled');
    });
  } finally {
    clearTimeout(timer);
    deaf();
  }
  const completedAtUs = deps.now() * 1000;
  const statistics = Promise.resolve({ totalMs: deps.now() - begunMs, qemuDowntimeMs: 0, transferredBytes: 0, iterations: 0 });
  return { outcome: 'completed', stoppedAtUs: stoppedAtUs ?? completedAtUs, completedAtUs, statistics };
};

/** A start that fails for so long fails for good: the VM is off, and says why. */
const START_MS = 120_000;

/**
 * Ends only when the guest runs here, or could not be started. One that was asked to shut down may still do so: it is waited for as long as
 * it was given, as one that is left running would go off behind our back.
 */
export const startAgain = async (deps: MoveDeps, vmId: string, { offBy }: Pick<SourceMove, 'offBy'>): Promise<Place> => {
  const mayGoOff = (): boolean => offBy !== undefined && deps.now() < Date.parse(offBy);
  let until: number | undefined;
  for (let attempt = 0; ; attempt++) {
    const seen = await look(deps.driver, vmId);
    if (seen !== 'unclear' && seen.migrating) return bringBack(deps, vmId);
    if (seen !== 'unclear' && seen.running && !mayGoOff()) return { is: 'running' };
    if (seen !== 'unclear' && !seen.running) {
      until ??= deps.now() + START_MS;
      const failed = await deps.driver.start(vmId, { asItWas: true }).then(() => undefined, causeOf); // prettier-ignore
      if (!failed) return { is: 'running' };
      deps.log.warn({ vmId, attempt, cause: failed }, 'the guest could not be started again yet');
      if (deps.now() > until) return { is: 'ended', why: failed };
    }
    await deps.sleep(Math.min(500, 10 * 2 ** Math.min(attempt, 10)));
  }
};
