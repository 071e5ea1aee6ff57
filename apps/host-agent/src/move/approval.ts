import type { MigrateOutcome, MigrationProgress } from '@chrysalis/hypervisor';
import type { SourceMove, VmState, Verdict } from '../durable/vm-state.ts';
import type { VmStates } from '../durable/vm-states.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { migrateUntilDeadline, type TransferOptions } from './dead-man-deadline.ts';
import { cancelledBy, deadlineAt } from './deadline.ts';
import type { AskPeer, MoveDeps } from './deps.ts';

/**
 * What was decided about the switch-over of moves from here. It is on the disk before anybody acts on it, and may come before its transfer
 * does; of a VM that is not this host's any more there is nothing to decide.
 */
export class Verdicts {
  readonly #waiting = new Set<() => void>();

  constructor(private readonly states: VmStates) {}

  async settle(vmId: string, verdict: Verdict): Promise<void> {
    await this.states.update(vmId, (s) => (s && s.verdict?.moveId !== verdict.moveId ? { ...s, verdict } : undefined));
    for (const look of [...this.#waiting]) look();
  }

  /** Resolves when it may switch over, and rejects when it may not, when it is cancelled, or at the deadline of its move. */
  async approved(vmId: string, { moveId }: Pick<SourceMove, 'moveId'>, over: AbortSignal): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    const look = (): void => {
      const verdict = verdictOf(this.states.get(vmId), moveId);
      if (over.aborted) waiting.reject(cancelledBy(over.reason));
      else if (verdict?.approved) waiting.resolve();
      else if (verdict)
        waiting.reject(TaskFailure.told(verdict.cause ?? { code: 'migration.approval_rejected', message: 'it was rejected' }));
    };
    this.#waiting.add(look);
    over.addEventListener('abort', look);
    look();
    return waiting.promise.finally(() => {
      this.#waiting.delete(look);
      over.removeEventListener('abort', look);
    });
  }
}

const verdictOf = (state: VmState | undefined, moveId: string): Verdict | undefined =>
  state?.verdict?.moveId === moveId ? state.verdict : undefined;

type Deps = MoveDeps & {
  readonly askPeer: AskPeer;
  readonly maxPauseMs: number;
  readonly stallMs: number;
  readonly verdicts: Verdicts;
  /** The next round of this move, on the disk. */
  readonly nextRound: () => Promise<SourceMove>;
};

/**
 * A transfer that somebody has to approve. Until then its passes go on; one that has nothing more to send, as that of an idle guest, is
 * called off, and comes anew with the approval, to a target that is prepared anew. `begun`: a stream went there before, in an earlier life
 * of this agent.
 */
export const migrateWhenApproved = async (
  deps: Deps,
  vmId: string,
  move: SourceMove,
  options: TransferOptions & { readonly begun: boolean },
): Promise<MigrateOutcome> => {
  const late = new TaskFailure('host.transfer_deadline', 'it had not ended at the deadline of its move');
  const deadline = deadlineAt(move.deadlineAt, deps.now, late);
  const signal = AbortSignal.any([deadline.signal, ...(options.signal ? [options.signal] : [])]);
  const approved = deps.verdicts.approved(vmId, move, signal);
  approved.catch(() => undefined);
  const told = new Told(options.onProgress);
  const go = (now: SourceMove, held: { approved?: Promise<void> }): Promise<MigrateOutcome> =>
    migrateUntilDeadline(deps, vmId, now, { ...options, ...held, onProgress: (p) => told.tell(p) });
  void approved.then(
    () => (told.held = false),
    () => undefined,
  );
  try {
    if (!options.begun) {
      const first = await go(move, { approved });
      if (first.outcome === 'completed' || first.cause.code !== 'hypervisor.migration_held') return first;
      deps.log.info({ vmId, moveId: move.moveId }, 'nothing more is to be sent, and its switch-over is not approved yet');
    }
    await deps.at('transfer:held', { vmId, moveId: move.moveId });
    await approved;
    return await go({ ...move, migrationAddress: await preparedAgain(deps, vmId, await deps.nextRound()) }, {});
  } finally {
    deadline.end();
  }
};

/** One transfer in the eyes of who looks, however often it was sent. */
class Told {
  held = true;
  #before = 0;
  #last = 0;

  constructor(private readonly onProgress: TransferOptions['onProgress']) {}

  tell(p: MigrationProgress): void {
    if (p.bytesTransferred < this.#last) this.#before += this.#last;
    this.#last = p.bytesTransferred;
    const all = { bytesTotal: p.bytesTotal + this.#before, bytesTransferred: p.bytesTransferred + this.#before };
    this.onProgress?.({ ...p, ...all, ...(this.held ? { phase: 'awaiting-approval' } : {}) });
  }
}

/** A QEMU that starts, on a machine that does other things; and so long a target's agent may be away. */
const PREPARE_MS = 60_000;
const AWAY_MS = 120_000;

/** The target's QEMU went with the stream that was called off. The same round is asked for again where no answer came: it is done once. */
const preparedAgain = async (deps: Deps, vmId: string, move: SourceMove): Promise<string> => {
  const { moveId, newEpoch, peerToken, peerAddress, targetHost: host, round = 1 } = move;
  const until = deps.now() + AWAY_MS;
  deps.log.info({ vmId, moveId, round }, 'its switch-over is approved: its target is prepared anew');
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await deps.askPeer({ peerAddress, host }, { type: 'again', moveId, vmId, newEpoch, peerToken, round }, PREPARE_MS);
      if (answer.type === 'again') {
        deps.log.info({ vmId, moveId, round }, 'it is sent again');
        return answer.migrationAddress;
      }
      if (answer.type === 'refused') throw TaskFailure.told(answer.cause);
      throw new TaskFailure('host.target_lost', answer.type === 'gone' ? answer.reason : `the target answered ${answer.type}`);
    } catch (error) {
      if (error instanceof TaskFailure) throw error;
      const message = `no answer from the target's agent at ${peerAddress}: ${(error as Error).message}`;
      if (deps.now() > until) throw new TaskFailure('host.peer_unreachable', message);
      await deps.sleep(Math.min(1_000, 50 * 2 ** Math.min(attempt, 10)));
    }
  }
};
