import { timingSafeEqual, createHash, randomBytes } from 'node:crypto';
import type { Code, HypervisorCode, MoveRequest, PeerAnswer, PoolAllocation, StoppedWork, Topology } from '@chrysalis/contracts';
import { hasCode, Mutexes } from '@chrysalis/hypervisor';
import { newVmState, type TargetMove, type VmState } from '../durable/vm-state.ts';
import { look } from './look.ts';
import { copySecret, filesOf } from './copies.ts';
import { iso, isoUs, millisecondsOf, type MoveDeps } from './deps.ts';
import { midCause, plugStopped } from './mid-migration.ts';
import { causeOf } from '../execution/cause.ts';
import { TaskFailure } from '../execution/task-failure.ts';
import { takeSaved } from './saved.ts';
import { peersKnown } from '../segments.ts';

export type Prepare = {
  readonly vmId: string;
  readonly tenant: string;
  readonly epoch: number;
  readonly moveId: string;
  readonly topology: Topology;
  readonly topologyHash: string;
  /** Its guest begins anew here. */
  readonly cold?: boolean | undefined;
  readonly restores?: { readonly withinMs: number } | undefined;
  /** Its guest may run here before all of its memory is. */
  readonly postCopy?: boolean | undefined;
  readonly streams?: number | undefined;
  readonly copies?:
    { readonly volumes: readonly string[]; readonly allocation?: PoolAllocation | undefined; readonly withinMs: number } | undefined;
  readonly stopped?: StoppedWork | undefined;
  readonly announceWithinMs?: number | undefined;
  /** Its stream may be called off, and come anew, for so long. */
  readonly approvalWithinMs?: number | undefined;
};
export type Prepared = { readonly migrationAddress: string; readonly peerToken: string; readonly copyAddress?: string };
type TargetDeps = MoveDeps & {
  readonly hostId: string;
  readonly patienceMs: number;
  /** Ends the QEMU, and deletes of its volumes those that only this host sees. */
  readonly removeFromHost: (vmId: string, made: NonNullable<TargetMove['made']>) => Promise<void>;
};
type Waiting = VmState & { readonly move: TargetMove };
type Restore = Extract<MoveRequest, { type: 'restore' }>;
/** Within that an answer is given, done or not. */
const ANSWER_MS = 1_000;

/** The target's half of the switch-over: paused until the receipt, and never to run once it said that it is gone. */
export class TargetMoves {
  readonly #locks = new Mutexes();
  /** Kept where it failed, so that who asks again hears why. */
  readonly #restoring = new Map<string, { readonly moveId: string; readonly restored: Promise<PeerAnswer> }>();

  constructor(private readonly deps: TargetDeps) {}

  /** Starts the paused QEMU; again for the same move: the same answer. */
  prepare(request: Prepare): Promise<Prepared> {
    const { vmId, moveId, topology, topologyHash, cold, copies, restores, postCopy, streams } = request;
    const quiet = request.announceWithinMs !== undefined;
    return this.#locked(vmId, async () => {
      const state = (await this.deps.states.update(vmId, (before) => this.#prepared(before, request))) as Waiting;
      await this.deps.at('prepare:recorded', { vmId, moveId });
      try {
        const { peerToken } = state.move;
        const secret = copySecret(peerToken);
        const asked = {
          ...(copies ? { copies: { volumes: copies.volumes, allocation: copies.allocation, secret } } : {}),
          ...(quiet ? { quiet } : {}),
          ...(restores ? { restores: true } : {}),
        };
        const ways = await this.deps.driver.prepareTarget({ vmId, topology, topologyHash, cold, postCopy, streams, ...asked });
        await this.#change(vmId, (s) => ({ ...s, topology, topologyHash, move: { ...s.move, phase: 'waiting', ...ways } }));
        return { ...ways, peerToken };
      } catch (error) {
        await this.#never(vmId, `it could not be started: ${(error as Error).message}`);
        throw error;
      }
    });
  }

  #prepared(before: VmState | undefined, request: Prepare): VmState {
    const { vmId, tenant, epoch, moveId } = request;
    const known = before?.move;
    if (known?.side === 'target' && known.moveId === moveId) {
      if (known.phase === 'preparing' || known.phase === 'waiting') return before!;
      throw new TaskFailure('host.epoch_stale', `this host ended its part of move ${moveId}: ${known.phase}`);
    }
    if (before && before.role !== 'none') throw new TaskFailure('host.vm_present', `${vmId} is on this host already, as ${before.role}`);
    if (before && epoch < before.epoch)
      throw new TaskFailure('host.epoch_stale', `epoch ${epoch} is below ${before.epoch}`, false, { epoch: before.epoch });
    const move = this.#begun(request);
    return { ...(before ?? newVmState(vmId, tenant, epoch)), role: 'incoming', epoch, floor: epoch, move };
  }

  #begun(request: Prepare): TargetMove {
    const { epoch, moveId, copies, restores, approvalWithinMs, streams } = request;
    const patienceMs = Math.max(this.deps.patienceMs, copies?.withinMs ?? 0, restores?.withinMs ?? 0) + (approvalWithinMs ?? 0);
    return {
      side: 'target',
      moveId,
      newEpoch: epoch,
      peerToken: `${this.deps.hostId}.${randomBytes(24).toString('base64url')}`,
      deadlineAt: iso(this.deps.now() + patienceMs),
      ...(approvalWithinMs === undefined ? {} : { held: true, ...(streams ? { streams } : {}) }),
      phase: 'preparing',
      cold: request.cold === true,
      postCopy: request.postCopy === true,
      ...workOf(request),
    };
  }

  /** What the source's agent asks, by whichever way it came. */
  async answer(request: MoveRequest): Promise<PeerAnswer> {
    if (request.type === 'restore') return this.#restore(request);
    return this.#locked(request.vmId, async () => {
      const state = this.deps.states.get(request.vmId);
      if (!isOfMove(state, request)) return refusal('host.receipt_invalid', 'no such move here, or another token');
      if (request.type === 'console') return this.#console(state, request);
      if (state.move.phase === 'never') return this.#gone(state);
      if (request.type === 'reopen') return this.#reopen(state);
      if (state.move.phase === 'running' && state.move.resumedAt) return this.#resumed(state.move.newEpoch, state.move.resumedAt);
      const said = state.move.phase === 'running' ? undefined : await this.#beforeItRuns(state, request);
      if (said) return said;
      return (await this.#acted(state, request)) ?? this.#asSeen(request.vmId);
    });
  }

  /** A receipt is acted on at once, without a look first: the guest stands still while it waits. */
  async #acted(state: Waiting, request: MoveRequest): Promise<PeerAnswer | undefined> {
    const acts = request.type === 'receipt' || state.move.phase === 'running';
    const restarted = request.type === 'receipt' && request.restarted === true;
    return acts ? this.#run(state, restarted) : undefined;
  }

  /**
   * What the hypervisor shows decides: `gone` is final, and everything else is worth asking again. The end of a guest that may have run
   * here is this host's: the source's memory is older than the disks, and is never to run again.
   */
  async #asSeen(vmId: string): Promise<PeerAnswer> {
    const seen = await look(this.deps.driver, vmId);
    if (seen === 'unclear') return refusal('host.fault', 'the hypervisor does not answer');
    const { move } = this.deps.states.get(vmId) as Waiting;
    if (seen.state !== 'gone') return { type: 'waiting', whole: seen.state === 'paused' && (await this.#isWhole(vmId, move)) };
    const reason = `its QEMU ended: ${seen.lastWords ?? 'no last words'}`;
    return move.phase === 'running' ? this.#endedHere(vmId, reason) : this.#gone(await this.#never(vmId, reason));
  }

  /**
   * A guest that comes by a file is loaded beside what else is asked: whoever asks before that is done hears that it waits, and asks again. So
   * a move that is given up meanwhile is given up at once.
   */
  async #restore(request: Restore): Promise<PeerAnswer> {
    const begun = await this.#locked(request.vmId, async (): Promise<{ readonly restored: Promise<PeerAnswer> }> => {
      const known = this.#restoring.get(request.vmId);
      if (known?.moveId === request.moveId) return known;
      const state = this.deps.states.get(request.vmId);
      if (!isOfMove(state, request))
        return { restored: Promise.resolve(refusal('host.receipt_invalid', 'no such move here, or another token')) };
      if (state.move.phase === 'never') return { restored: this.#gone(state) };
      const { newEpoch, resumedAt, phase } = state.move;
      if (phase === 'running') return { restored: Promise.resolve(resumedAt ? this.#resumed(newEpoch, resumedAt) : { type: 'waiting' }) };
      const restoring = { moveId: request.moveId, restored: this.#restored(state, request) };
      this.#restoring.set(request.vmId, restoring);
      return restoring;
    });
    return Promise.race([begun.restored, this.deps.sleep(ANSWER_MS).then((): PeerAnswer => ({ type: 'waiting' }))]);
  }

  /** Before the fence: whatever it could not take, the source takes its guest back, and this target is over. */
  async #restored({ vmId, move }: Waiting, request: Restore): Promise<PeerAnswer> {
    const began = this.deps.now();
    try {
      await this.deps.at('target:restore', { vmId, moveId: move.moveId });
      await takeSaved(this.deps, request, move.deadlineAt);
      await this.deps.at('target:restored', { vmId, moveId: move.moveId });
      this.#restoring.delete(vmId);
      return { type: 'restored', newEpoch: move.newEpoch, ms: Math.max(0, this.deps.now() - began) };
    } catch (error) {
      const { code, message } = causeOf(error);
      return this.#locked(vmId, async () => {
        const now = this.deps.states.get(vmId)?.move;
        if (now?.moveId !== move.moveId || now.phase === 'running') return refusal(code as Code, message);
        const over = await this.#never(vmId, message);
        return hasCode(error, 'hypervisor.qemu_exited') ? this.#gone(over) : refusal(code as Code, message);
      });
    }
  }

  async #beforeItRuns(state: Waiting, request: MoveRequest): Promise<PeerAnswer | undefined> {
    if (request.type === 'stopped') return this.#stopped(state);
    if (request.type === 'again') return this.#again(state, request.round);
    if (request.type !== 'probe' || !request.gone || (await this.#isWhole(state.vmId, state.move))) return undefined;
    return this.#gone(await this.#never(state.vmId, 'its source ended before all of its memory was here'));
  }

  async #isWhole(vmId: string, { postCopy }: TargetMove): Promise<boolean> {
    return !postCopy || (await this.deps.driver.restOf(vmId).catch(() => undefined))?.is === 'whole';
  }

  /** Of a post-copy: is, or may be, the only whole guest on its way to here? */
  async #onItsWay(vmId: string, { postCopy }: TargetMove): Promise<boolean> {
    if (!postCopy) return false;
    const seen = await look(this.deps.driver, vmId);
    if (seen !== 'unclear' && seen.state === 'gone') return false;
    const rest = await this.deps.driver.restOf(vmId).catch(() => undefined);
    return rest?.is !== 'none';
  }

  /** A guest whose memory is missing may hold up its hypervisor: what does not answer is listened for all the same. */
  async #reopen({ vmId, move }: Waiting): Promise<PeerAnswer> {
    try {
      const rest = await this.deps.driver.restOf(vmId).catch((error: unknown) => {
        if (hasCode(error, 'hypervisor.vm_unknown', 'hypervisor.qemu_exited')) return undefined;
        return { is: 'cut' as const };
      });
      if (!rest) return { type: 'gone', newEpoch: move.newEpoch, reason: 'its QEMU ended at the target' };
      return rest.is === 'whole' ? { type: 'whole' } : { type: 'reopened', ...(await this.deps.driver.reopen(vmId)) };
    } catch (error) {
      return refusal('host.fault', `it does not listen again: ${(error as Error).message}`);
    }
  }

  /** Before the fence: what is not done in time is the end of this target, which is on its disk before the source hears of it. */
  async #stopped(state: Waiting): Promise<PeerAnswer> {
    const { vmId, move } = state;
    const began = this.deps.now();
    try {
      await this.deps.at('target:stopped', { vmId, moveId: move.moveId });
      await this.#changeStopped(state);
      return { type: 'changed', newEpoch: move.newEpoch, ms: Math.max(0, this.deps.now() - began) };
    } catch (error) {
      const { code, message } = midCause(error);
      await this.#never(vmId, message);
      return refusal(code as Code, message);
    }
  }

  /** The source's guest runs there, and its stream comes anew: to a QEMU that is as the first one was. Once for each round. */
  async #again({ vmId, topology, topologyHash, move }: Waiting, round: number): Promise<PeerAnswer> {
    const { newEpoch, moveId, held, migrationAddress, announceWithinMs, streams } = move;
    if (!held || !topology || topologyHash === undefined || move.phase !== 'waiting')
      return refusal('host.receipt_invalid', 'nothing waits here for an approval');
    if (move.round === round && migrationAddress !== undefined) return { type: 'again', newEpoch, migrationAddress };
    try {
      await this.deps.at('target:again', { vmId, moveId });
      await this.deps.removeFromHost(vmId, []);
      const quiet = announceWithinMs === undefined ? {} : { quiet: true };
      const ways = await this.deps.driver.prepareTarget({ vmId, topology, topologyHash, streams, ...quiet });
      await peersKnown(this.deps.driver, topology);
      await this.#change(vmId, (s) => ({ ...s, move: { ...s.move, ...ways, round } }));
      return { type: 'again', newEpoch, migrationAddress: ways.migrationAddress };
    } catch (error) {
      await this.#never(vmId, `it could not be started again: ${(error as Error).message}`);
      const { code, message } = causeOf(error);
      return refusal(code as Code, message);
    }
  }

  async #changeStopped({ vmId, move: { stopped, changed } }: Waiting): Promise<void> {
    if (!stopped || changed) return;
    const shaped = await plugStopped(this.deps, vmId, stopped);
    await this.#change(vmId, (s) => ({ ...s, ...shaped, move: { ...s.move, changed: true } }));
  }

  /** Since when it ran is not known, if it ran at all; now is the latest. */
  async #endedHere(vmId: string, reason: string): Promise<PeerAnswer> {
    this.deps.log.error({ vmId, reason }, 'a guest ended here that may have run');
    const resumedAt = iso(this.deps.now());
    const { move } = await this.#change(vmId, (s) => ({ ...s, move: { ...s.move, resumedAt, reason: reason.slice(0, 500) } }));
    return this.#resumed(move.newEpoch, resumedAt);
  }

  /**
   * Recorded as the runner first, continued second: an agent that dies between the two continues the guest when it is back. `running` on
   * the disk means that the guest may have run; it is taken back only by the life that wrote it, when the driver knows that it did not.
   */
  async #run({ vmId, move: { moveId, newEpoch, phase, cold } }: Waiting, restarted = false): Promise<PeerAnswer | undefined> {
    const seen = restarted ? { restarted } : {};
    if (phase !== 'running') await this.#change(vmId, (s) => ({ ...s, role: 'runner', move: { ...s.move, ...seen, phase: 'running' } }));
    await this.deps.at('receipt:recorded', { vmId, moveId });
    try {
      // Done already where the source asked for it. One that lost its power could not, and there is no other copy of the guest any more.
      await this.#changeStopped(this.deps.states.get(vmId) as Waiting).catch((err: unknown) =>
        this.deps.log.error({ vmId, moveId, err }, 'the guest goes on without what it was to be given'),
      );
      const { resumedAtUs } = await this.deps.driver.resume(vmId);
      await this.deps.at('receipt:resumed', { vmId, moveId });
      const resumedAt = isoUs(resumedAtUs);
      // Not in the answer's way. If it is lost, the next receipt finds the guest running, and `resume` says since when.
      this.#announceInTime(vmId);
      void this.#change(vmId, (s) => ({ ...s, move: { ...s.move, resumedAt } })).catch((err: unknown) =>
        this.deps.log.error({ vmId, err }, 'the time of the switch-over was not recorded'),
      );
      return this.#resumed(newEpoch, resumedAt);
    } catch (error) {
      this.deps.log.warn({ vmId, moveId, err: error }, 'the guest could not be continued yet');
      const never = hasCode(error, ...neverContinued);
      if (cold && never) return this.#notBegun(vmId, phase, (error as Error).message);
      if (phase !== 'running' && never)
        await this.#change(vmId, (s) => ({ ...s, role: 'incoming', move: { ...s.move, phase: 'waiting' } }));
      return undefined;
    }
  }

  /** The source may start it again; not where an earlier life of this agent may have said that it runs here: then it has ended here. */
  async #notBegun(vmId: string, phase: TargetMove['phase'], why: string): Promise<PeerAnswer> {
    return phase === 'running' ? this.#endedHere(vmId, why) : this.#gone(await this.#never(vmId, why));
  }

  /** As it was asked to, or because nobody did in time; an agent that was killed meanwhile finds it by its sweep. */
  announce(vmId: string, moveId: string): Promise<{ announcedAt: string; late: boolean }> {
    return this.#locked(vmId, () => this.#announce(vmId, moveId, false));
  }

  async #announce(vmId: string, moveId: string, late: boolean): Promise<{ announcedAt: string; late: boolean }> {
    const move = this.deps.states.get(vmId)?.move;
    if (move?.side !== 'target' || move.moveId !== moveId || move.phase !== 'running')
      throw new TaskFailure('host.move_unknown', `${vmId} did not come by move ${moveId}`);
    if (move.announced) return move.announced;
    await this.deps.driver.announce(vmId);
    const announced = { announcedAt: iso(this.deps.now()), late };
    await this.#change(vmId, (s) => ({ ...s, move: { ...s.move, announced } }));
    return announced;
  }

  #announceInTime(vmId: string): void {
    const { announceWithinMs } = (this.deps.states.get(vmId) as Waiting).move;
    if (announceWithinMs !== undefined) setTimeout(() => void this.settle(vmId).catch(() => undefined), announceWithinMs).unref();
  }

  /** Of one that runs, and whose place nobody asked to announce in time. */
  async #announceLate({ vmId, move: { moveId, announceWithinMs = 0, resumedAt } }: Waiting): Promise<void> {
    if (this.deps.now() < millisecondsOf(resumedAt!) + announceWithinMs) return;
    this.deps.log.warn({ vmId, moveId }, 'the place of a guest is announced, though what was to be done in it before is not');
    await this.#announce(vmId, moveId, true);
  }

  /** Ends the waiting QEMU. Refused when the guest runs here: then there is nothing to discard. */
  discard(vmId: string, moveId: string): Promise<void> {
    return this.#locked(vmId, async () => {
      const move = this.deps.states.get(vmId)?.move;
      if (move?.side !== 'target' || move.moveId !== moveId) return; // never prepared here, or another move's by now
      if (move.phase === 'running' || (await this.#onItsWay(vmId, move)))
        throw new TaskFailure('host.target_runs', `${vmId} was switched over to this host`);
      await this.#never(vmId, 'the move was given up');
    });
  }

  /** After a restart, and now and then: continue what was recorded as ours, end what waited too long or is gone. */
  async settle(vmId: string): Promise<void> {
    await this.#locked(vmId, async () => {
      const state = this.deps.states.get(vmId);
      if (state?.move?.side !== 'target') return;
      const { phase, resumedAt } = state.move;
      if (phase === 'never') return this.#clear(vmId);
      if (phase !== 'running') return this.#endLost(vmId, state.move);
      if (!resumedAt) return void ((await this.#run(state as Waiting)) ?? (await this.#asSeen(vmId)));
      if (unannounced(state.move)) await this.#announceLate(state as Waiting);
    });
  }

  /** Before the switch-over: one whose QEMU ended, or that nobody came for. */
  async #endLost(vmId: string, move: TargetMove): Promise<void> {
    const { phase, deadlineAt, held } = move;
    const seen = await look(this.deps.driver, vmId);
    // The QEMU of one that waits for an approval goes with a stream that is called off.
    if (phase === 'waiting' && !held && seen !== 'unclear' && seen.state === 'gone') await this.#never(vmId, 'its QEMU ended');
    else if (this.deps.now() > Date.parse(deadlineAt) && !(await this.#onItsWay(vmId, move)))
      await this.#never(vmId, 'no receipt came in time');
  }

  /** The promise never to run this move is on disk before anything of it is taken down, and before anyone is told. */
  async #never(vmId: string, reason: string): Promise<Waiting> {
    const state = await this.#change(vmId, (s) => ({
      ...s,
      role: 'none',
      move: { ...s.move, phase: 'never', reason: reason.slice(0, 500) },
    }));
    await this.deps.at('target:never', { vmId, moveId: state.move.moveId });
    await this.#clear(vmId);
    return state;
  }

  async #clear(vmId: string): Promise<void> {
    const move = this.deps.states.get(vmId)?.move;
    await this.deps.removeFromHost(vmId, (move?.side === 'target' ? move.made : undefined) ?? []);
  }

  /** Only of a guest that runs here: then its log is read, and nobody else writes it. */
  async #console({ vmId, move }: Waiting, { data }: Extract<MoveRequest, { type: 'console' }>): Promise<PeerAnswer> {
    if (move.phase !== 'running') return refusal('host.vm_incoming', `${vmId} is not switched over to this host`);
    await this.deps.driver.consoleOf(vmId).continueFrom(move.moveId, Buffer.from(data, 'base64'));
    return { type: 'console-kept' };
  }

  async #gone(state: Waiting): Promise<PeerAnswer> {
    await this.#clear(state.vmId); // an agent that died after its promise may have left the QEMU behind
    return { type: 'gone', newEpoch: state.move.newEpoch, reason: state.move.reason ?? 'unknown' };
  }

  #resumed(newEpoch: number, resumedAt: string): PeerAnswer {
    return { type: 'resumed', newEpoch, resumedAt, at: isoUs(this.deps.now() * 1000) };
  }

  async #change(vmId: string, change: (state: Waiting) => Waiting): Promise<Waiting> {
    return (await this.deps.states.update(vmId, (s) => change(s as Waiting))) as Waiting;
  }

  #locked<T>(vmId: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(vmId, work);
  }
}

const workOf = (request: Prepare): Pick<TargetMove, 'stopped' | 'announceWithinMs' | 'made'> => {
  const { stopped, announceWithinMs, copies, topology } = request;
  return {
    ...(copies ? { made: filesOf(topology, copies.volumes) } : {}),
    ...(stopped ? { stopped } : {}),
    ...(announceWithinMs === undefined ? {} : { announceWithinMs }),
  };
};

/** It runs here, and its place is to be told to the network still. */
export const unannounced = ({ announceWithinMs, announced, resumedAt }: TargetMove): boolean =>
  announceWithinMs !== undefined && !announced && resumedAt !== undefined;

const isOfMove = (state: VmState | undefined, request: MoveRequest): state is Waiting =>
  state?.move?.side === 'target' &&
  state.move.moveId === request.moveId &&
  state.move.newEpoch === request.newEpoch &&
  sameSecret(state.move.peerToken, request.peerToken);

/** The driver's word that QEMU was not told to continue, or refused to: see `resume`. */
const neverContinued: readonly HypervisorCode[] = [
  'hypervisor.not_ready',
  'hypervisor.vm_unknown',
  'hypervisor.qmp_refused',
  'hypervisor.volume_locked',
];
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
const sameSecret = (a: string, b: string): boolean => timingSafeEqual(digest(a), digest(b));
const refusal = (code: Code, message: string): PeerAnswer => ({ type: 'refused', cause: { code, message: message.slice(0, 2000) } });
