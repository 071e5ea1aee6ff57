import type { Cause, Observed, ObservedState } from '@chrysalis/contracts';
import type { GuestReading, LifecycleEvent } from '@chrysalis/hypervisor';
import type { SourceMove, VmState } from '../durable/vm-state.ts';
import { iso } from '../move/deps.ts';

/** What is known of a VM at an epoch. Another epoch is another life of it on this host: it counts from the start. */
export type Known = { readonly epoch: number; readonly observed: Observed };
/** What a look found. `silent`: the hypervisor does not answer; undefined: nothing that could be said now. */
export type Look = GuestReading | 'silent' | undefined;

/** A pause may be one of a moment that we do not know the reason of, and silence that of a busy hypervisor: only what stands is news. */
const STANDS_MS = 5_000;
const passing: ReadonlySet<ObservedState> = new Set(['paused', 'unknown']);

/** Whether anything may be said of a VM, and what. In a transfer and before the switch-over a pause is the move's own. */
export const sayable = ({ role, booted, move }: VmState): 'all' | 'ends' | 'nothing' => {
  if (role !== 'runner') return 'nothing';
  if (move?.side === 'target') return move.phase === 'running' && move.resumedAt ? 'all' : 'nothing';
  if (move?.side === 'source') return sayableOfSource(move);
  return booted ? 'all' : 'nothing';
};

/** Of a cold move its guest's end is no news. */
const sayableOfSource = ({ phase, method }: SourceMove): 'all' | 'ends' | 'nothing' => {
  if (phase !== 'transferring') return 'all';
  return method === 'restart' ? 'nothing' : 'ends';
};

/** The state that a look begins to show, and since when it does; `stands` when it is news. */
export type Candidate = { readonly state: ObservedState; readonly sinceMs: number };

export const candidateOf = (before: Candidate | undefined, look: Look, nowMs: number): Candidate | undefined => {
  const state = look === 'silent' ? 'unknown' : look?.state;
  if (!state || !passing.has(state)) return undefined;
  return before?.state === state ? before : { state, sinceMs: nowMs };
};

type At = { readonly nowMs: number; readonly candidate?: Candidate | undefined };
const seenSince = ({ nowMs, candidate }: At): number => candidate?.sinceMs ?? nowMs;
const stands = ({ nowMs, candidate }: At): boolean => candidate !== undefined && nowMs - candidate.sinceMs >= STANDS_MS;

/** Known to be so. A power-off that is found to be one that was asked for is news: it is no failure any more. */
const isSo = (before: Known | undefined, state: ObservedState, why: GuestReading['why']): boolean => {
  if (before?.observed.state !== state) return false;
  const { cause } = before.observed;
  return !(why?.kind === 'shut-down' && cause !== undefined && why.code !== cause.code);
};

/** After a look. The same object where nothing changed. */
export const looked = (known: Known | undefined, epoch: number, look: Look, at: At): Known | undefined => {
  const before = known?.epoch === epoch ? known : undefined;
  if (look === undefined) return before;
  const { state, why }: Pick<GuestReading, 'why'> & { state: ObservedState } = look === 'silent' ? { state: 'unknown' } : look;
  if (isSo(before, state, why) || (passing.has(state) && !stands(at))) return before;
  return became(before, epoch, {
    state,
    since: iso(why ? why.atUs / 1000 : seenSince(at)),
    ...(state === 'running' || !why ? {} : { cause: causeOf(why) }),
  });
};

/** After an event of the hypervisor. Stops are looked at instead: see STANDS_MS. */
export const happened = (known: Known | undefined, epoch: number, e: LifecycleEvent): Known | undefined => {
  const before = known?.epoch === epoch ? known : undefined;
  const at = iso(e.atUs / 1000);
  if (e.kind === 'reset' && e.again) return before;
  if (e.kind === 'reset') {
    const { observed } = before ?? became(undefined, epoch, { state: 'running', since: at });
    return { epoch, observed: { ...observed, resets: observed.resets + 1, lastResetAt: at, changes: observed.changes + 1 } };
  }
  if (passing.has(e.state) || before?.observed.state === e.state) return before;
  return became(before, epoch, {
    state: e.state,
    since: at,
    ...(e.state === 'running' ? {} : { cause: causeOf(e) }),
  });
};

const became = (before: Known | undefined, epoch: number, now: Pick<Observed, 'state' | 'since' | 'cause'>): Known => {
  if (!before) return { epoch, observed: { ...now, resets: 0, changes: 0 } };
  const { resets, lastResetAt, changes } = before.observed;
  return { epoch, observed: { ...now, resets, ...(lastResetAt ? { lastResetAt } : {}), changes: changes + 1 } };
};

/** All VMs of a host go into one frame. */
const MAX_MESSAGE = 512;
const causeOf = ({ code, message }: { code: string; message: string }): Cause => ({ code, message: message.slice(-MAX_MESSAGE) });
