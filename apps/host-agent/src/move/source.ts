import type { MigrateOutcome, MigrationProgress } from '@chrysalis/hypervisor';
import type { SourceMove, VmState } from '../durable/vm-state.ts';
import { causeOf } from '../execution/cause.ts';
import { migrateWhenApproved, Verdicts } from './approval.ts';
import { bringBack, causeWith, type Cause, type Place } from './bring-back.ts';
import { isCold, shutDownUntilDeadline, startAgain, type ColdOptions } from './cold.ts';
import { iso, isoUs, type AskPeer, type MoveDeps } from './deps.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { migrateUntilDeadline, type TransferOptions } from './dead-man-deadline.ts';
import { cancelledBy } from './deadline.ts';
import { probe, wholeAtTarget } from './probe.ts';
import { dropSaved, isSaved, saveUntilDeadline, wentByFile } from './saved.ts';
import { askStopped } from './mid-migration.ts';
import { hasSwitched, isPostCopy, sendRest } from './post-copy.ts';
import { deliverReceipt } from './receipt.ts';

export type TransferResult =
  | {
      readonly ok: true;
      readonly downtimeMs: number;
      readonly totalMs: number;
      readonly transferredBytes: number;
      stoppedAt: string;
      resumedAt: string;
    }
  | { readonly ok: false; readonly cause: Cause };
type Options = TransferOptions & ColdOptions;
type SourceDeps = MoveDeps & {
  readonly askPeer: AskPeer;
  readonly maxPauseMs: number;
  readonly stallMs: number;
  /** The guest was seen to run at the target. Waits for nothing. */
  readonly gaveAway?: (vmId: string, move: SourceMove) => void;
  /** Of a post-copy, as its rest goes over. */
  readonly sends?: (vmId: string, move: SourceMove, progress: MigrationProgress) => void;
};
type Moving = VmState & { readonly move: SourceMove };

/**
 * The source's half of the switch-over. Each phase is on disk before the next line acts on it, so that an agent that was killed
 * anywhere goes on from its state file: without a fence the guest is taken back, with one the receipt is repeated until answered.
 */
export class SourceMoves {
  readonly verdicts: Verdicts;
  readonly #running = new Map<string, Running>();

  constructor(private readonly deps: SourceDeps) {
    this.verdicts = new Verdicts(deps.states);
  }

  /** Begins the move, or joins the one that runs, or answers as the one that ended did. */
  async transfer(vmId: string, begin: SourceMove, options: Options = {}): Promise<TransferResult> {
    const state = await this.deps.states.update(vmId, (before) => began(vmId, before, begin));
    if (state?.move?.side !== 'source') throw new TaskFailure('host.vm_unknown', `no ${vmId} here`);
    return this.#once(vmId, (asker) => this.#drive(vmId, asker), options);
  }

  /** After a restart of the agent: what the state file says was going on. Resolves when the guest's place is decided. */
  async settle(vmId: string): Promise<TransferResult | undefined> {
    const move = this.deps.states.get(vmId)?.move;
    if (move?.side !== 'source') return undefined;
    return this.#once(vmId, (asker) => this.#recover(vmId, asker));
  }

  #once(vmId: string, work: (asker: Asker) => Promise<TransferResult>, options: Options = {}): Promise<TransferResult> {
    const { asker, result } = this.#running.get(vmId) ?? this.#begun(vmId, work);
    asker.asks(options);
    return result;
  }

  #begun(vmId: string, work: (asker: Asker) => Promise<TransferResult>): Running {
    const asker = new Asker();
    const running = { asker, result: work(asker).finally(() => this.#running.delete(vmId)) };
    this.#running.set(vmId, running);
    return running;
  }

  async #drive(vmId: string, asker: Asker): Promise<TransferResult> {
    const { move } = this.#moving(vmId);
    if (move.phase !== 'transferring') return this.#recover(vmId, asker);
    const unready = await probe(this.deps, vmId, move);
    if (unready) return this.#returned(vmId, unready, await this.#back(vmId, move));
    return this.#send(vmId, move, asker);
  }

  async #send(vmId: string, move: SourceMove, asker: Asker, begun = false): Promise<TransferResult> {
    const stays = await this.#sent(vmId, move, asker, begun).catch(causeOf);
    return stays ? this.#takeBack(vmId, stays) : this.#giveAway(vmId);
  }

  /** Nobody has approved of it yet, or it was not fenced yet when this agent ended: the stream of then is called off, and the move goes on. */
  async #sendAgain(vmId: string, move: SourceMove, asker: Asker): Promise<TransferResult> {
    const place = await bringBack(this.deps, vmId);
    this.deps.log.info({ vmId, moveId: move.moveId, place: place.is }, 'a move that waits for an approval goes on after this agent ended');
    if (place.is !== 'running') return this.#takeBack(vmId, interrupted);
    return this.#send(vmId, move, asker, true);
  }

  /** Why it was not given away, or nothing: then the fence is on the disk. */
  async #sent(vmId: string, move: SourceMove, asker: Asker, begun: boolean): Promise<Cause | undefined> {
    await this.#at('transfer:probed', vmId, move);
    const restarts = new Restarts(this.deps.driver, vmId);
    try {
      const outcome = await this.#outcome(vmId, move, asker, begun);
      if (outcome.outcome === 'failed') return outcome.cause;
      const undone = await askStopped(this.deps, vmId, move);
      if (undone) return undone;
      await this.#handOver(vmId, move, outcome, restarts);
      return undefined;
    } finally {
      restarts.end();
    }
  }

  /** By the move's method. */
  #outcome(vmId: string, move: SourceMove, asker: Asker, begun: boolean): Promise<MigrateOutcome> {
    if (isCold(move)) return shutDownUntilDeadline(this.deps, vmId, move, asker);
    if (isSaved(move)) {
      const onSaved = (saved: NonNullable<SourceMove['saved']>) => this.#change(vmId, (s) => ({ ...s, move: { ...s.move, saved } }));
      return saveUntilDeadline(this.deps, vmId, move, { signal: asker.signal, onProgress: asker.onProgress, onSaved });
    }
    if (!move.held) return migrateUntilDeadline(this.deps, vmId, move, asker);
    const nextRound = async (): Promise<SourceMove> =>
      (await this.#change(vmId, (s) => ({ ...s, move: { ...s.move, round: (s.move.round ?? 0) + 1 } }))).move;
    const { signal, onProgress } = asker;
    return migrateWhenApproved({ ...this.deps, verdicts: this.verdicts, nextRound }, vmId, move, { signal, onProgress, begun });
  }

  async #handOver(vmId: string, move: SourceMove, outcome: Completed, restarts: Restarts): Promise<void> {
    const { stoppedAtUs, completedAtUs } = outcome;
    const seen = this.deps.now();
    await this.#at('transfer:completed', vmId, move);
    await this.#change(vmId, fenced(iso(this.deps.now()), outcome, restarts.seen));
    this.#statistics.set(vmId, outcome.statistics);
    const figures = {
      stopToCompletedMs: (completedAtUs - stoppedAtUs) / 1000,
      completedToSeenMs: seen - completedAtUs / 1000,
      fenceMs: this.deps.now() - seen,
    };
    this.deps.log.debug({ vmId, moveId: move.moveId, ...figures }, 'given away');
    await this.#at('transfer:fenced', vmId, move);
  }

  /** A fenced guest is given away; every other one is brought to run here, whatever an earlier life of this agent was about to do. */
  async #recover(vmId: string, asker: Asker): Promise<TransferResult> {
    const { move } = this.#moving(vmId);
    switch (move.phase) {
      case 'fenced':
        return this.#giveAway(vmId);
      case 'transferring':
        return move.held ? this.#sendAgain(vmId, move, asker) : this.#takeBack(vmId, interrupted);
      case 'sending':
        void this.#follow(vmId);
        return resultOf(move);
      case 'reclaimed': {
        const place = await this.#back(vmId, move);
        await dropSaved(this.deps, vmId, move);
        return { ok: false, cause: causeWith(move.cause!, place) };
      }
      default:
        return resultOf(move);
    }
  }

  /** QEMU's figures, read beside the switch-over and never in its way. */
  readonly #statistics = new Map<string, Promise<{ totalMs: number; transferredBytes: number }>>();

  async #giveAway(vmId: string): Promise<TransferResult> {
    const { move } = this.#moving(vmId);
    const answer = await deliverReceipt(this.deps, vmId, move);
    await this.#at('transfer:answered', vmId, move);
    if (answer.type === 'gone')
      return isPostCopy(move) ? this.#lose(vmId, onlyThere(move, answer.reason)) : this.#reclaim(vmId, answer.reason);
    this.deps.gaveAway?.(vmId, move);
    await dropSaved(this.deps, vmId, move);
    const figures = await this.#statistics.get(vmId)?.catch(() => undefined);
    this.#statistics.delete(vmId);
    const { move: ended } = await this.#insist(vmId, (s) => ({
      ...s,
      move: {
        ...s.move,
        phase: isPostCopy(move) ? 'sending' : 'resumed',
        resumed: { resumedAt: answer.resumedAt, downtimeMs: answer.downtimeMs },
        fence: { ...s.move.fence!, ...(figures ? { totalMs: figures.totalMs, transferredBytes: figures.transferredBytes } : {}) },
      },
    }));
    if (isPostCopy(move)) void this.#follow(vmId);
    return resultOf(ended);
  }

  readonly #following = new Map<string, { done: Promise<void>; cutSince: number | undefined }>();

  /** Sends what is left of a post-copy until the target has it, also with nobody to ask for it; once at a time. */
  #follow(vmId: string): { done: Promise<void>; cutSince: number | undefined } {
    const known = this.#following.get(vmId);
    if (known) return known;
    const { move } = this.#moving(vmId);
    const following = { done: Promise.resolve(), cutSince: undefined as number | undefined };
    const onProgress = (p: MigrationProgress): void => this.deps.sends?.(vmId, move, p);
    const sent = sendRest(this.deps, vmId, move, { onProgress, onCut: (since) => (following.cutSince = since) });
    following.done = sent
      .then(async (cause) => {
        await this.#at('transfer:sent', vmId, move);
        if (cause) await this.#lose(vmId, cause);
        else await this.#insist(vmId, (s) => ({ ...s, move: { ...s.move, phase: 'resumed' } }));
      })
      .finally(() => this.#following.delete(vmId));
    following.done.catch((err: unknown) => this.deps.log.error({ vmId, err }, 'the rest of a memory is not sent'));
    this.#following.set(vmId, following);
    return following;
  }

  /** Resolves when the target of a post-copy has all of the memory. Rejects where it never will, and where it was cut off for so long; what can be sent then goes on. */
  async awaitMemory(vmId: string, moveId: string, recoverWithinMs: number, signal?: AbortSignal): Promise<void> {
    const asked = this.deps.now();
    for (;;) {
      if (signal?.aborted) throw cancelledBy(signal.reason);
      const { move } = this.#moving(vmId);
      if (move.moveId !== moveId) throw new TaskFailure('host.move_unknown', `${vmId} did not go by move ${moveId}`);
      if (move.phase === 'lost') throw TaskFailure.told(move.cause!, {});
      if (move.phase !== 'sending') return;
      const { done, cutSince } = this.#follow(vmId);
      if (cutSince !== undefined && this.deps.now() - Math.max(asked, cutSince) > recoverWithinMs) throw cutOff(move, recoverWithinMs);
      await Promise.race([done, this.deps.sleep(200)]);
    }
  }

  async #lose(vmId: string, cause: Cause): Promise<TransferResult> {
    this.deps.log.error({ vmId, cause }, 'a guest is lost');
    const { move } = await this.#insist(vmId, (s) => ({ ...s, move: { ...s.move, phase: 'lost', cause } }));
    return resultOf(move);
  }

  /** The target durably said that it will never run the new epoch: the guest continues here, above both. */
  async #reclaim(vmId: string, reason: string): Promise<TransferResult> {
    const cause = { code: 'host.target_lost', message: `the target is gone (${reason})` };
    const state = await this.#insist(vmId, (s) => ({
      ...s,
      role: 'runner',
      epoch: s.move.newEpoch + 1,
      move: { ...s.move, phase: 'reclaimed', cause },
    }));
    await this.#at('transfer:reclaiming', vmId, state.move);
    return this.#recover(vmId, new Asker());
  }

  /**
   * No receipt was sent. A fence that is on the disk all the same, its write having failed at the end, goes first: the guest may run here
   * only when no crash can bring the fence back. Where this end is gone, and the stream was in, the guest is at the target and nowhere else.
   */
  async #takeBack(vmId: string, cause: Cause): Promise<TransferResult> {
    const { move } = await this.#insist(vmId, unfenced);
    if (isPostCopy(move) && (await hasSwitched(this.deps, vmId))) return this.#goneAlready(vmId, move, cause);
    const byFile = await wentByFile(this.deps, vmId, move);
    // From here on the guest may run: what is in a file is past, and no later life of this agent may take it for the guest.
    if (move.saved && !byFile) await this.#insist(vmId, withoutFile);
    const place: Place = byFile ? { is: 'gone', lastWords: 'its state was saved before' } : await this.#back(vmId, move);
    const whole = byFile || (place.is === 'gone' && !isSaved(move) && (await wholeAtTarget(this.deps, vmId, move)));
    if (!whole) return this.#returned(vmId, cause, place);
    return this.#goneAlready(vmId, move, cause);
  }

  /** It is at the target, and nowhere else: since when is not known, now is the latest. */
  async #goneAlready(vmId: string, move: SourceMove, cause: Cause): Promise<TransferResult> {
    const now = this.deps.now();
    this.deps.log.warn({ vmId, moveId: move.moveId, cause }, 'the guest is the target’s already');
    await this.#insist(vmId, fenced(iso(now), { stoppedAtUs: now * 1000, completedAtUs: now * 1000 }));
    return this.#giveAway(vmId);
  }

  #back(vmId: string, move: SourceMove): Promise<Place> {
    return isCold(move) ? startAgain(this.deps, vmId, move) : bringBack(this.deps, vmId);
  }

  async #returned(vmId: string, why: Cause, place: Place): Promise<TransferResult> {
    const { code, message } = causeWith(why, place);
    await dropSaved(this.deps, vmId, this.#moving(vmId).move);
    const { move } = await this.#insist(vmId, (s) => ({ ...s, move: { ...s.move, phase: 'returned', cause: { code, message } } }));
    return resultOf(move);
  }

  #moving(vmId: string): Moving {
    const state = this.deps.states.get(vmId);
    if (state?.move?.side !== 'source') throw new Error(`${vmId} is not in a move from here`);
    return state as Moving;
  }

  async #change(vmId: string, change: (state: Moving) => Moving): Promise<Moving> {
    return (await this.deps.states.update(vmId, (s) => change(s as Moving))) as Moving;
  }

  /** For what others were told already, or what the guest waits for: a disk that refuses is asked again. */
  async #insist(vmId: string, change: (state: Moving) => Moving): Promise<Moving> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#change(vmId, change);
      } catch (error) {
        this.deps.log.error({ vmId, attempt, err: error }, 'the state of a move could not be written');
        await this.deps.sleep(Math.min(1_000, 10 * 2 ** Math.min(attempt, 10)));
      }
    }
  }

  #at(point: string, vmId: string, { moveId }: SourceMove): Promise<void> {
    return this.deps.at(point, { vmId, moveId });
  }
}

const interrupted: Cause = { code: 'host.transfer_interrupted', message: 'the source agent ended in mid-transfer' };

/** Who wants a transfer now: its task, also where it comes again to an agent that went on with the transfer by itself. */
class Asker {
  readonly #over = new AbortController();
  #options: Options = {};

  readonly onProgress = (p: MigrationProgress): void => this.#options.onProgress?.(p);

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  get shutDown(): ColdOptions['shutDown'] {
    return this.#options.shutDown;
  }

  asks(options: Options): void {
    this.#options = { ...this.#options, ...options };
    const { signal } = options;
    const ended = (): void => this.#over.abort(signal!.reason);
    if (signal?.aborted) ended();
    else signal?.addEventListener('abort', ended, { once: true });
  }
}
type Running = { readonly asker: Asker; readonly result: Promise<TransferResult> };

type Completed = Extract<MigrateOutcome, { outcome: 'completed' }>;

/** Has the guest restarted itself since this began? */
class Restarts {
  seen = false;
  readonly end: () => void;

  constructor(driver: MoveDeps['driver'], vmId: string) {
    this.end = driver.onLifecycle((event) => {
      if (event.vmId === vmId && event.kind === 'reset') this.seen = true;
    });
  }
}

type Times = { readonly stoppedAtUs: number; readonly completedAtUs: number };
const fenced =
  (fencedAt: string, { stoppedAtUs, completedAtUs }: Times, restarted = false) =>
  (s: Moving): Moving => {
    const totalMs = Math.max(0, completedAtUs / 1000 - Date.parse(s.move.startedAt));
    const fence = { epoch: s.epoch, fencedAt, stoppedAt: isoUs(stoppedAtUs), totalMs, transferredBytes: 0 };
    return { ...s, role: 'fenced', move: { ...s.move, phase: 'fenced', fence, ...(restarted ? { restarted } : {}) } };
  };

/** The same where there is no fence. */
const unfenced = (s: Moving): Moving => {
  if (s.move.phase !== 'fenced') return s;
  const { fence: _, ...move } = s.move;
  return { ...s, role: 'runner', move: { ...move, phase: 'transferring' } };
};

const withoutFile = (s: Moving): Moving => {
  const { saved: _, ...move } = s.move;
  return { ...s, move };
};

const began = (vmId: string, before: VmState | undefined, move: SourceMove): VmState | undefined => {
  if (before?.move?.side === 'source' && before.move.moveId === move.moveId) {
    const again = before.move.phase === 'returned' && before.move.taskKey !== move.taskKey;
    if (!again) return before;
  }
  if (before?.role !== 'runner') throw new TaskFailure('host.vm_unknown', `this host does not run ${vmId}`);
  // The floor and not the epoch: after a reclaim the control plane may give out an epoch again that no one ever ran. That is safe, as a
  // receipt is of one move, and the target of the other one has promised never to run it.
  if (move.newEpoch <= before.floor)
    throw new TaskFailure('host.epoch_stale', `epoch ${move.newEpoch} is not above ${before.floor}`, false, { epoch: before.epoch });
  return { ...before, move };
};

const onlyThere = ({ targetHost }: SourceMove, reason: string): Cause => ({
  code: 'host.post_copy_lost',
  message: `it had gone to ${targetHost} by post-copy, and its QEMU ended there: ${reason}`.slice(0, 2_000),
});
const cutOff = ({ targetHost }: SourceMove, ms: number): TaskFailure =>
  new TaskFailure(
    'host.post_copy_cut',
    `${targetHost} could not be sent the rest of its memory for ${Math.round(ms / 1000)} s; its guest stands still where it needs that, and it is sent when the way is there again`,
  );

const resultOf = ({ fence, resumed, cause }: SourceMove): TransferResult =>
  fence && resumed
    ? { ok: true, ...resumed, totalMs: fence.totalMs, transferredBytes: fence.transferredBytes, stoppedAt: fence.stoppedAt }
    : { ok: false, cause: cause ?? { code: 'host.transfer_failed', message: 'the transfer failed' } };
