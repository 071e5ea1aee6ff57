import type { Cause, ObservedState, RestartPolicy, WorkflowRequest } from '@chrysalis/contracts';
import { speaksOf } from '@chrysalis/contracts';
import { accept } from '@chrysalis/kernel';
import { notReady, type VmDecision } from './rejections.ts';
import type { KnownVm, Restart, Vm, VmEvent } from './vm.ts';

const FIRST_MS = 10_000;
const LONGEST_MS = 300_000;
/** Starts in a row; by then 20 minutes have gone by, and a person has to look. */
export const MOST_RESTARTS = 8;
/** A VM that ran for so long begins anew: its next end is not a part of the last trouble. */
const RAN_WELL_MS = 600_000;

/** How long is waited before a start, the first is 1. */
export const restartDelayMs = (attempt: number): number => Math.min(FIRST_MS * 2 ** (attempt - 1), LONGEST_MS);

/** What its host saw last, wherever the VM is by now. Times of `observed` are the host's clock. */
export type Sighting = Readonly<{
  hostId: string;
  epoch: number;
  observed: Readonly<{ state: ObservedState; since: string; cause?: Cause | undefined }>;
}>;
export type SetRestartPolicy = Readonly<{ type: 'set-restart-policy'; vmId: string; policy: RestartPolicy }>;
/** `now`: the service's clock. `request`: the start, in case that it is begun. */
export type ConsiderRestart = Readonly<{
  type: 'consider-restart';
  vmId: string;
  seen: Sighting;
  now: string;
  request: WorkflowRequest;
}>;

export const setRestartPolicy = ({ vmId, policy }: SetRestartPolicy, vm: Vm): VmDecision => {
  if (vm.status === 'unknown' || vm.status === 'deleted') return notReady(vm, vmId);
  return vm.restart.policy === policy
    ? accept()
    : accept({ type: 'chrysalis.provisioning.vm.restart-policy-set.v1', data: { vmId, policy } });
};

/**
 * Asked whenever something may be due; says something only where the VM is meant to run, is seen off and nobody has it. Said twice, or of
 * an end that a start has answered since, it says nothing.
 */
export const considerRestart = (command: ConsiderRestart, vm: Vm): VmDecision => {
  const { vmId, seen } = command;
  if (!nobodyHas(vm) || !speaksOf(seen, vm)) return accept();
  const { restart } = vm;
  if (!isOff(seen) || answered(seen, vm)) return restart.due ? calledOff(vmId, restart, 'runs') : accept();
  if (restart.gaveUp || !wants(restart, seen)) return accept();
  return restart.due ? startWhenDue(command, restart.attempts, restart.due) : plan(command, vm);
};

/** It is meant to run, and no action or move is to see to it. */
const nobodyHas = (vm: Vm): vm is KnownVm => vm.status === 'running' && vm.desired === 'running' && !vm.move && !vm.action;

const plan = ({ vmId, seen, now }: ConsiderRestart, vm: KnownVm): VmDecision => {
  const attempts = ranWell(seen, vm) ? 0 : vm.restart.attempts;
  if (attempts >= MOST_RESTARTS) return calledOff(vmId, vm.restart, 'limit');
  const attempt = attempts + 1;
  const dueAt = new Date(Date.parse(now) + restartDelayMs(attempt)).toISOString();
  const { state, since, cause } = seen.observed;
  const observed = { state, since, ...(cause ? { cause } : {}) };
  return accept({
    type: 'chrysalis.provisioning.vm.restart-planned.v1',
    data: { vmId, hostId: seen.hostId, attempt, dueAt, observed },
  });
};

const startWhenDue = (
  { vmId, request, now }: ConsiderRestart,
  attempt: number,
  { at, observed }: NonNullable<Restart['due']>,
): VmDecision => {
  if (Date.parse(now) < Date.parse(at)) return accept();
  const data = { vmId, action: 'start' as const, options: { force: true }, request, restart: { attempt, observed } };
  return accept({ type: 'chrysalis.provisioning.vm.action-requested.v1', data });
};

/**
 * How its host sees one that is not as it is to be: off where it is not to be, or standing still where it is to run. Nothing where neither
 * is so, or was only before it was booted last.
 */
export const seenAmiss = (seen: Sighting | undefined, vm: KnownVm): ObservedState | undefined => {
  if (!seen || vm.desired === 'stopped' || !speaksOf(seen, vm) || answered(seen, vm)) return undefined;
  return isOff(seen) || (vm.desired === 'running' && standsStill(seen.observed.state)) ? seen.observed.state : undefined;
};

/** Its host stopped it, or a disk that took no more: its guest is whole, and goes on from there. */
export const standsStill = (state: ObservedState): boolean => state === 'paused' || state === 'io-error';

export const isOff = ({ observed: { state } }: Pick<Sighting, 'observed'>): boolean =>
  state === 'shut-down' || state === 'gone' || state === 'panicked';
/** Both times are one host's clock: what was seen before it booted the VM is of the life before. */
const answered = ({ hostId, observed }: Sighting, { bootedAt, bootedOn }: KnownVm): boolean =>
  bootedAt !== undefined && bootedOn === hostId && Date.parse(observed.since) <= Date.parse(bootedAt);
/** A start that failed was itself a failure, whatever its undo left to be seen. */
const ranWell = ({ observed }: Sighting, { bootedAt, restart }: KnownVm): boolean =>
  !restart.startFailed && bootedAt !== undefined && Date.parse(observed.since) - Date.parse(bootedAt) >= RAN_WELL_MS;

const wants = ({ policy, startFailed, askedOff }: Restart, { observed }: Sighting): boolean => {
  if (policy === 'never') return false;
  if (startFailed || observed.state !== 'shut-down') return true;
  // A guest that was asked to go off, and went when its stop had given up waiting, does as it was told.
  return policy === 'always' && !askedOff;
};

const calledOff = (vmId: string, { attempts }: Restart, reason: 'limit' | 'runs'): VmDecision =>
  accept({ type: 'chrysalis.provisioning.vm.restart-called-off.v1', data: { vmId, attempts, reason } });

type Of<T extends VmEvent['type']> = Extract<VmEvent, { type: T }>['data'];
export const restartPlanned = (restart: Restart, d: Of<'chrysalis.provisioning.vm.restart-planned.v1'>): Restart => ({
  ...restart,
  attempts: d.attempt,
  due: { at: d.dueAt, observed: d.observed },
});
export const restartCalledOff = ({ due: _, ...rest }: Restart, d: Of<'chrysalis.provisioning.vm.restart-called-off.v1'>): Restart => ({
  ...rest,
  ...(d.reason === 'limit' ? { gaveUp: true } : {}),
});
/** Somebody has it: an action, a move or a deletion. What comes after those is looked at anew. */
export const noRestartDue = ({ due: _, ...rest }: Restart): Restart => rest;
/** Asked for by a person, it begins the count anew. */
export const restartAfterRequest = ({ policy, attempts }: Restart, byPolicy: boolean): Restart => ({
  policy,
  attempts: byPolicy ? attempts : 0,
});
/** Of what was asked of one that is meant to run. */
export const restartAfterFailure = (restart: Restart, action: KnownVm['action']): Restart => {
  if (action?.before !== 'running') return restart;
  if (action.name === 'start') return { ...restart, startFailed: true };
  return action.name === 'stop' ? { ...restart, askedOff: true } : restart;
};
