import { stateFile, type MoveRequest, type PeerAnswer } from '@chrysalis/contracts';
import type { MigrateOutcome, MigrationProgress, SavedState } from '@chrysalis/hypervisor';
import type { SourceMove } from '../durable/vm-state.ts';
import { causeOf } from '../execution/cause.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import type { Cause } from './bring-back.ts';
import { cancelledBy, deadlineAt, rejectsWhen } from './deadline.ts';
import type { AskPeer, MoveDeps } from './deps.ts';
import { look } from './look.ts';

// A move whose guest goes by a file: it stands still at the source while its state is written to a pool that both ends see, and is taken
// from there by the target. Up to the fence the source has it in memory as well, and that is what an undo continues.

type Deps = MoveDeps & { readonly askPeer: AskPeer };
type Options = {
  readonly onProgress?: (p: MigrationProgress) => void;
  readonly signal?: AbortSignal;
  /** On the disk, before the target is told: from there on the file is all of the guest, until it may run here again. */
  readonly onSaved: (saved: SavedState) => Promise<unknown>;
};

export const isSaved = ({ method }: Pick<SourceMove, 'method'>): boolean => method === 'save-and-restore';

const placeOf = (vmId: string, { moveId, saveTo }: SourceMove) => {
  if (!saveTo) throw new TaskFailure('host.method_unsupported', 'nobody says which pool its state is to be saved to');
  return { ...saveTo, file: stateFile(vmId, moveId) };
};

/** Ended as a transfer is: `completed` means that the target has the whole guest, and that it stands still at both ends. */
export const saveUntilDeadline = async (
  deps: Deps & { readonly stallMs: number },
  vmId: string,
  move: SourceMove,
  options: Options,
): Promise<MigrateOutcome> => {
  const late = new TaskFailure('host.transfer_deadline', `it was not saved and restored by ${move.deadlineAt}, its deadline`);
  const deadline = deadlineAt(move.deadlineAt, deps.now, late);
  const over = AbortSignal.any([deadline.signal, ...(options.signal ? [options.signal] : [])]);
  try {
    const { onProgress } = options;
    const request = { ...placeOf(vmId, move), maxBandwidthMiBps: move.maxBandwidthMiBps, stallMs: deps.stallMs, signal: over };
    const outcome = await deps.driver.suspend(vmId, { ...request, ...(onProgress ? { onProgress } : {}) });
    if (outcome.outcome === 'failed') throw over.aborted ? cancelledBy(over.reason) : outcome.cause;
    await deps.at('transfer:saved', { vmId, moveId: move.moveId });
    await options.onSaved(outcome.saved);
    await deps.at('transfer:restoring', { vmId, moveId: move.moveId });
    const undone = await askRestore(deps, vmId, { ...move, saved: outcome.saved }, over);
    if (undone) throw TaskFailure.told(undone, {});
    return outcome;
  } finally {
    deadline.end();
  }
};

/** Asked again where nobody answers: its agent may have been killed, and finds its QEMU as it left it. Why it will not take the guest, or nothing. */
const askRestore = async (deps: Deps, vmId: string, move: SourceMove, over: AbortSignal): Promise<Cause | undefined> => {
  const { moveId, newEpoch, peerToken, peerAddress, targetHost: host, saved, saveTo } = move;
  const request: MoveRequest = { type: 'restore', moveId, vmId, newEpoch, peerToken, ...saveTo!, ...saved! };
  const ended = rejectsWhen(over);
  for (let attempt = 0; ; attempt++) {
    if (over.aborted) throw cancelledBy(over.reason);
    const asked = deps.askPeer({ peerAddress, host }, request, ASK_MS).then(verdictOf, (error: unknown) => {
      deps.log.warn({ vmId, moveId, attempt, err: error }, 'no answer from the target that is to take the saved guest');
      return 'again' as const;
    });
    const verdict = await Promise.race([asked, ended]);
    if (verdict !== 'again') return verdict;
    await Promise.race([deps.sleep(Math.min(1_000, 10 * 2 ** Math.min(attempt, 10))), ended]);
  }
};
/** One that has not loaded it by then says so, and is asked again. */
const ASK_MS = 3_000;

const verdictOf = (answer: PeerAnswer): Cause | undefined | 'again' => {
  switch (answer.type) {
    case 'restored':
      return undefined;
    case 'gone':
      return { code: 'host.target_lost', message: `the target is gone (${answer.reason})` };
    case 'refused':
      return answer.cause;
    default:
      return 'again';
  }
};

/** How long a target is asked to take the last copy of a guest, past the move's deadline. */
const LAST_COPY_MS = 30_000;

/**
 * The source's QEMU is gone, and the guest has not run since it was saved: the file has all of it, and the target may take it still. False
 * where this end has the guest yet, or the target does not take it.
 */
export const wentByFile = async (deps: Deps, vmId: string, move: SourceMove): Promise<boolean> => {
  if (!isSaved(move) || !move.saved) return false;
  let seen = await look(deps.driver, vmId);
  for (; seen === 'unclear'; seen = await look(deps.driver, vmId)) await deps.sleep(100);
  if (seen.state !== 'gone') return false;
  const left = Math.max(LAST_COPY_MS, Date.parse(move.deadlineAt) - deps.now());
  const until = deps.now() + left;
  const over = new AbortController();
  void (async () => {
    while (deps.now() < until && !over.signal.aborted) await deps.sleep(200);
    over.abort(new TaskFailure('host.transfer_deadline', 'the target did not take the saved guest'));
  })();
  const why = await askRestore(deps, vmId, move, over.signal).catch(causeOf);
  over.abort();
  if (why) deps.log.error({ vmId, moveId: move.moveId, cause: why }, 'the source is gone, and the target does not take the saved guest');
  return !why;
};

/** Where the move is decided nobody reads it any more. One that cannot be deleted now is found by an audit. */
export const dropSaved = async ({ driver, log }: Pick<MoveDeps, 'driver' | 'log'>, vmId: string, move: SourceMove): Promise<void> => {
  if (!isSaved(move) || !move.saveTo) return;
  await driver
    .dropState(move.saveTo.pool, stateFile(vmId, move.moveId))
    .catch((err: unknown) => log.error({ vmId, moveId: move.moveId, err }, 'the file of a saved guest could not be deleted'));
};

type Restore = Extract<MoveRequest, { type: 'restore' }>;
/** The target's part. Only of this move's own file, whatever it is asked for. */
export const takeSaved = async (
  { driver, now }: Pick<MoveDeps, 'driver' | 'now'>,
  { vmId, moveId, pool, mapped, digest, bytes }: Restore,
  until: string,
): Promise<void> => {
  const state = { pool, file: stateFile(vmId, moveId), digest, bytes, ...(mapped ? { mapped } : {}) };
  const late = deadlineAt(until, now, new TaskFailure('host.transfer_deadline', `the saved guest was not loaded by ${until}`));
  try {
    await Promise.race([driver.restore(vmId, state), rejectsWhen(late.signal)]);
  } finally {
    late.end();
  }
};
