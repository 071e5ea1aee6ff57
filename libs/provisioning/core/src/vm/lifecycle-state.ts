import { desiredBy, vmActions, type Desired, type ObservedState, type VmAction, type VmActionOptions } from '@chrysalis/contracts';
import { restartAfterFailure, restartAfterRequest, standsStill } from './restart.ts';
import type { KnownVm, Vm, VmEvent } from './vm.ts';

/** Whether an action can be done with a VM that is meant to be so; `already`: there is nothing to do. */
export type Fit = 'fits' | 'already' | 'refused';
export const actionTable: Readonly<Record<VmAction, Readonly<Record<Desired, Fit>>>> = {
  start: { running: 'already', stopped: 'fits', paused: 'refused' },
  stop: { running: 'fits', stopped: 'already', paused: 'refused' },
  reboot: { running: 'fits', stopped: 'refused', paused: 'refused' },
  reset: { running: 'fits', stopped: 'refused', paused: 'refused' },
  pause: { running: 'fits', stopped: 'refused', paused: 'already' },
  resume: { running: 'already', stopped: 'refused', paused: 'fits' },
};
/**
 * A guest that stands still hears nobody: only its power can be taken from it. One that went off by itself (`seen`), or panicked, is started
 * or stopped, whether its process stands or not; where that has not been heard yet a forced start starts it, and does nothing where it runs.
 * One that is meant to run and is seen to stand still is continued. What is seen may be a moment old, so that rules nothing else out.
 */
export const fitOf = (action: VmAction, desired: Desired, { force }: VmActionOptions, seen?: ObservedState): Fit => {
  if (seen && standsStill(seen)) return action === 'resume' ? 'fits' : fitOf(action, desired, { force });
  if (seen) return action === 'start' || action === 'stop' ? 'fits' : 'refused';
  if (force === true && ((action === 'stop' && desired === 'paused') || (action === 'start' && desired === 'running'))) return 'fits';
  return actionTable[action][desired];
};

export const fittingActions = (desired: Desired, seen?: ObservedState): VmAction[] =>
  vmActions.filter((a) => fitOf(a, desired, {}, seen) === 'fits');
/** The one to type in place of what was refused. */
export const insteadOf = (action: VmAction, vmId: string, desired: Desired, seen?: ObservedState): string =>
  action === 'stop' ? `vm stop ${vmId} --force` : `vm ${fittingActions(desired, seen)[0]} ${vmId}`;

/** The status of a VM that has come up is what it was last brought to: what is asked for is so only when its action has ended. */
export const settled = (vm: Vm): vm is KnownVm & { status: Desired } =>
  vm.status === 'running' || vm.status === 'stopped' || vm.status === 'paused';

type Asked = Extract<VmEvent, { type: 'chrysalis.provisioning.vm.action-requested.v1' }>['data'];
export const actionRequested = (vm: KnownVm, { action: name, options, request, restart }: Asked): KnownVm => {
  const { cause: _, ...rest } = vm;
  const before = settled(vm) ? vm.status : 'running';
  const counted = restartAfterRequest(vm.restart, restart !== undefined);
  return { ...rest, restart: counted, desired: desiredBy[name], action: { name, options, workflowId: request.workflowId, before } };
};

type Ended = Extract<VmEvent, { type: 'chrysalis.provisioning.vm.action-ended.v1' }>['data'];
/** What was asked for and did not come to its end is not meant any more. */
export const actionEnded = (vm: KnownVm, { outcome, cause, topology, topologyHash, at }: Ended): KnownVm => {
  const { action, ...rest } = vm;
  const before = action?.before ?? 'running';
  if (outcome === 'failed') {
    return { ...rest, restart: restartAfterFailure(vm.restart, action), status: before, desired: before, ...(cause ? { cause } : {}) };
  }
  return {
    ...(action?.name === 'start' ? startedAt(rest, at) : rest),
    status: vm.desired,
    ...(topology && topologyHash ? { topology, topologyHash } : {}),
  };
};

const startedAt = (vm: KnownVm, at: string | undefined): KnownVm =>
  at ? { ...unhidden(vm), bootedAt: at, ...(vm.hostId ? { bootedOn: vm.hostId } : {}) } : unhidden(vm);

/** A guest that starts has all that its hardware has. */
export const unhidden = ({ shows: _, ...vm }: KnownVm): KnownVm => vm;
