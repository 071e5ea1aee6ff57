import {
  VmAction,
  type ActionHow,
  type Cause,
  type Desired,
  type ObservedState,
  type Topology,
  type VmActionOptions,
  type WorkflowRequest,
} from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import { fitOf, fittingActions, insteadOf, settled } from './lifecycle-state.ts';
import { inAction, notReady, wrongHash, type VmDecision } from './rejections.ts';
import { seenAmiss, type Sighting } from './restart.ts';
import type { KnownVm, Vm, VmEvent } from './vm.ts';

export type RequestAction = Readonly<{
  type: 'request-action';
  vmId: string;
  action: VmAction;
  options: VmActionOptions;
  request: WorkflowRequest;
  seen?: Sighting | undefined;
}>;
export type RecordAction = Readonly<{
  type: 'record-action';
  vmId: string;
  workflowId: string;
  at: string;
  how?: ActionHow | undefined;
  topology?: Topology | undefined;
  topologyHash?: string | undefined;
}>;
export type FailAction = Readonly<{ type: 'fail-action'; vmId: string; workflowId: string; cause: Cause }>;

/** One at a time, and not in a move. The same asked for again while it is under way stays with the first request. */
export const requestAction = ({ vmId, action, options, request, seen }: RequestAction, vm: Vm): VmDecision => {
  if (!settled(vm)) return notReady(vm, vmId);
  if (vm.move) return reject({ code: 'vm.in_move', vmId, moveId: vm.move.moveId });
  if (vm.action)
    return vm.action.name === action && canonicalJson(vm.action.options) === canonicalJson(options) ? accept() : inAction(vm, vm.action);
  const amiss = seenAmiss(seen, vm);
  const fit = fitOf(action, vm.status, options, amiss);
  if (fit === 'already') return accept();
  if (fit === 'refused') return notPossible(action, vm, amiss);
  return accept({ type: 'chrysalis.provisioning.vm.action-requested.v1', data: { vmId, action, options, request } });
};

const notPossible = (action: VmAction, { vmId, status }: KnownVm & { status: Desired }, seen: ObservedState | undefined): VmDecision =>
  reject({
    code: 'vm.action_not_possible',
    vmId,
    action,
    state: status,
    ...(seen ? { observed: seen } : {}),
    fits: fittingActions(status, seen),
    instead: insteadOf(action, vmId, status, seen),
  });

/** Welcome also where the action has ended: what an earlier one says late is nothing about the newer. */
export const recordAction = ({ type: _, ...said }: RecordAction, vm: Vm): VmDecision => {
  const { vmId, workflowId, at, how, topology, topologyHash } = said;
  if (vm.status === 'unknown') return notReady(vm, vmId);
  if (vm.action?.workflowId !== workflowId) return accept();
  const shaped = topology && topologyHash ? { topology, topologyHash } : undefined;
  const wrong = shaped && wrongHash(vmId, shaped.topology, shaped.topologyHash);
  if (wrong) return wrong;
  return accept(...ended(vm.action, { vmId, workflowId, outcome: 'succeeded', at, ...(how ? { how } : {}), ...shaped }));
};

export const failAction = ({ vmId, workflowId, cause }: FailAction, vm: Vm): VmDecision => {
  if (vm.status === 'unknown' || vm.action?.workflowId !== workflowId) return accept();
  return accept(...ended(vm.action, { vmId, workflowId, outcome: 'failed', cause }));
};

type Ended = Extract<VmEvent, { type: 'chrysalis.provisioning.vm.action-ended.v1' }>['data'];
/** A change of the hardware is not ended by the word of an action. */
const ended = ({ name }: NonNullable<KnownVm['action']>, data: Omit<Ended, 'action'>): VmEvent[] => {
  const action = VmAction.safeParse(name).data;
  return action ? [{ type: 'chrysalis.provisioning.vm.action-ended.v1', data: { ...data, action } }] : [];
};
