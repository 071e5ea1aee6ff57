import type { Cause, Code } from '@chrysalis/contracts';
import type { KnownVm } from './known.ts';

/**
 * How a VM stands to a run that wants it away. `waits`: it will be different by itself, and is looked at again; where it `settles` only
 * events are on their way, which take no longer than a moment. `stuck`: somebody has to do something first.
 */
export type Standing =
  | Readonly<{ state: 'free'; vm: KnownVm }>
  | Readonly<{ state: 'waits'; settles: boolean; cause: Cause }>
  | Readonly<{ state: 'stuck'; cause: Cause }>;

/** What is known of a VM; one that has not booted has no topology. */
export type HeardVm = Readonly<Pick<KnownVm, 'vmId' | 'state' | 'name' | 'moveId' | 'action'> & { hostId?: string }>;
export type LastMove = Readonly<{ moveId: string; state: 'succeeded' | 'undone' | 'failed' | null }>;
export type Seen = Readonly<{
  vm: HeardVm | undefined;
  /** Once it has booted. */
  booted: KnownVm | undefined;
  /** Its move under way, or else the one that holds it still. */
  move: LastMove | undefined;
  /** The host that it is to leave, if that is what the run is for. */
  hostId: string | undefined;
  /** A move of the run took it away. */
  gone: boolean;
}>;

const waits = (code: Code, message: string, settles = false): Standing => ({ state: 'waits', settles, cause: { code, message } });

export const standingOf = (vmId: string, seen: Seen): Standing => {
  const { vm, booted, move } = seen;
  if (!vm) return waits('vm.unknown', `${vmId} is not known, or is no more`, true);
  const who = whoIs(vm);
  if (move?.state === null) return waits('vm.in_move', `${who} is in ${move.moveId}`);
  if (move?.state === 'failed' && vm.moveId === move.moveId) return { state: 'stuck', cause: failedMove(who, move.moveId) };
  if (vm.state === 'deleting') return waits('vm.deleting', `${who} is being deleted`);
  if (!booted) return waits('vm.not_running', `${who} is being created`);
  return standingOn(vm, booted, seen);
};

/** Of one that has booted. Where nothing holds it, it may be away already, and its ledger not. */
const standingOn = (vm: HeardVm, booted: KnownVm, { hostId, gone }: Seen): Standing => {
  const who = whoIs(vm);
  if (vm.moveId !== undefined) return waits('vm.in_move', `${who} is in ${vm.moveId}`, true);
  if (vm.action !== undefined) return waits('vm.in_action', `${who} is in a ${vm.action}`);
  if (vm.state === 'stopped' || vm.state === 'paused') return { state: 'stuck', cause: halted(who, vm) };
  if (hostId === undefined) return { state: 'free', vm: booted };
  if (vm.hostId !== hostId)
    return waits('allocation.left_over', `${who} is on ${vm.hostId}, and what it held on ${hostId} is still held`, true);
  return gone
    ? waits('allocation.left_over', `${who} has moved, and what it held on ${hostId} is still held`, true)
    : { state: 'free', vm: booted };
};

/** What a move holds on the host, beside what its VM does. */
export const standingOfMove = (moveId: string, move: (LastMove & { who: string }) | undefined): Standing => {
  if (!move) return waits('move.unknown', `there is no move ${moveId}`, true);
  if (move.state === null) return waits('vm.in_move', `${move.who} is in ${moveId}`);
  if (move.state === 'failed') return { state: 'stuck', cause: failedMove(move.who, moveId) };
  return waits('allocation.left_over', `${moveId} has ended, and what it held is still held`, true);
};

const failedMove = (who: string, moveId: string): Cause => ({
  code: 'vm.in_move',
  message: `${who} is held by ${moveId}, which failed: see chrysalis workflow get ${moveId}, and repair it or have it undone`,
});

/** Only somebody who may tell its guest to run can say that it may. */
const halted = (who: string, { state, name, vmId }: HeardVm): Cause => ({
  code: 'vm.halted',
  message: `${who} is ${state}, as it was asked to be: chrysalis vm ${state === 'paused' ? 'resume' : 'start'} ${name ?? vmId}, or delete it`,
});

export const whoIs = ({ vmId, name }: Pick<HeardVm, 'vmId' | 'name'>): string => (name === undefined ? vmId : `${name} (${vmId})`);
