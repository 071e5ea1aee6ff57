import { vmChanges, type Cause, type Topology, type VmChange, type WorkflowRequest } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { inAction, notReady, wrongHash, type VmDecision } from './rejections.ts';
import type { KnownVm, Vm, VmEvent } from './vm.ts';

export type BeginChange = Readonly<{
  type: 'begin-change';
  vmId: string;
  change: VmChange;
  volumeId?: string;
  networkId?: string;
  workflowId: string;
  request?: WorkflowRequest;
}>;
export type EndChange = Readonly<{
  type: 'end-change';
  vmId: string;
  workflowId: string;
  outcome: 'succeeded' | 'failed';
  cause?: Cause | undefined;
  topology?: Topology | undefined;
  topologyHash?: string | undefined;
}>;

/** As an action: one at a time, and not in a move. A guest that stands still lets nothing go and shows nothing, so not while it is paused. */
export const beginChange = ({ type: _, ...data }: BeginChange, vm: Vm): VmDecision => {
  const { vmId, workflowId } = data;
  if (vm.status !== 'running' && vm.status !== 'stopped') return notReady(vm, vmId);
  if (vm.action?.workflowId === workflowId) return accept();
  if (vm.move) return reject({ code: 'vm.in_move', vmId, moveId: vm.move.moveId });
  if (vm.action) return inAction(vm, vm.action);
  return accept({ type: 'chrysalis.provisioning.vm.change-begun.v1', data });
};

/** Welcome also where it has ended: what an earlier one says late is nothing about the newer. */
export const endChange = ({ type: _, ...said }: EndChange, vm: Vm): VmDecision => {
  const { vmId, workflowId, outcome, cause, topology, topologyHash } = said;
  if (vm.status === 'unknown') return notReady(vm, vmId);
  const { action } = vm;
  if (action?.workflowId !== workflowId || !isChange(action.name)) return accept();
  const shaped = topology && topologyHash ? { topology, topologyHash } : undefined;
  const wrong = shaped && wrongHash(vmId, shaped.topology, shaped.topologyHash);
  if (wrong) return wrong;
  const { name, volumeId, networkId } = action;
  const of = { ...(volumeId === undefined ? {} : { volumeId }), ...(networkId === undefined ? {} : { networkId }) };
  const data = { vmId, change: name as VmChange, ...of, workflowId, outcome, ...(cause ? { cause } : {}), ...shaped };
  return accept({ type: 'chrysalis.provisioning.vm.change-ended.v1', data });
};

const isChange = (name: string): boolean => (vmChanges as readonly string[]).includes(name);

type Of<T extends VmEvent['type']> = Extract<VmEvent, { type: T }>['data'];
/** What it is meant to do stays as it is. */
export const changeBegun = (vm: KnownVm, d: Of<'chrysalis.provisioning.vm.change-begun.v1'>): KnownVm => {
  const { change: name, workflowId, volumeId, networkId } = d;
  const of = { ...(volumeId === undefined ? {} : { volumeId }), ...(networkId === undefined ? {} : { networkId }) };
  return { ...vm, action: { name, options: {}, workflowId, ...of, before: vm.desired } };
};
export const changeEnded = (vm: KnownVm, d: Of<'chrysalis.provisioning.vm.change-ended.v1'>): KnownVm => {
  const { action: _, ...rest } = vm;
  const { topology, topologyHash } = d;
  return { ...rest, ...(topology && topologyHash ? { topology, topologyHash } : {}) };
};
