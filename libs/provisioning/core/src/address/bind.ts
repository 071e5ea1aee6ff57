import type { Cause, WorkflowRequest } from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import { refusedOf, takenFrom, type Address, type AddressDecision, type AddressReserved, type KnownAddress } from './address.ts';

export type Reserve = Readonly<{ type: 'reserve'; addressId: string; reserved: AddressReserved }>;
/** `move`: also where another VM has it. */
export type RequestBind = Readonly<{ type: 'request-bind'; addressId: string; vmId: string; move: boolean; request: WorkflowRequest }>;
export type RecordBound = Readonly<{ type: 'record-bound'; addressId: string; vmId: string; workflowId: string; seen: boolean }>;
export type RequestUnbind = Readonly<{ type: 'request-unbind'; addressId: string; request: WorkflowRequest }>;
export type RecordUnbound = Readonly<{ type: 'record-unbound'; addressId: string; vmId: string; workflowId: string }>;
/** The VM is gone. */
export type LeaveVm = Readonly<{ type: 'leave-vm'; addressId: string; vmId: string }>;
/** `undone`: all that was done of it is taken back. */
export type FailAction = Readonly<{ type: 'fail-action'; addressId: string; workflowId: string; undone: boolean; cause: Cause }>;
export type Release = Readonly<{ type: 'release'; addressId: string }>;

export const reserve = ({ addressId, reserved: data }: Reserve, address: Address): AddressDecision => {
  if (address.status === 'unknown') return accept({ type: 'chrysalis.provisioning.address.reserved.v1', data });
  const same = [address, data].map((a) => canonicalJson([a.name, a.tenant, a.networkId, a.address]));
  return address.status !== 'deleted' && same[0] === same[1] ? accept() : reject({ code: 'address.conflict', addressId });
};

const isKept = (address: Address): address is KnownAddress => address.status === 'reserved' || address.status === 'bound';
/** Whether the VM has it, alone, or is to have it by what is under way. */
const isSo = ({ action, vmId: has, unsettled }: KnownAddress, vmId: string): boolean =>
  action ? action.name === 'bind' && action.vmId === vmId : has === vmId && unsettled === undefined;
/** One of two that may have it is to have it. */
const settles = ({ action, vmId: has, unsettled }: KnownAddress, vmId: string): boolean =>
  !action && unsettled !== undefined && (vmId === has || vmId === unsettled);
const fromOf = (from: string | undefined): { from?: string } => (from === undefined ? {} : { from });

/**
 * One VM at a time: this stream is the ledger that says which. The same asked for again, also while it is under way, says nothing. Away from a
 * VM that has it only where that is said: what goes over it there ends.
 */
export const requestBind = ({ addressId, vmId, move, request }: RequestBind, address: Address): AddressDecision => {
  if (!isKept(address)) return reject({ code: 'address.unknown', addressId });
  if (isSo(address, vmId)) return accept();
  const refused = settles(address, vmId) ? undefined : refusedOf(address, addressId);
  if (refused) return refused;
  if (address.vmId !== undefined && !move) return reject({ code: 'address.bound', addressId, vmId: address.vmId });
  const data = { addressId, vmId, ...fromOf(takenFrom(address, vmId)), request };
  return accept({ type: 'chrysalis.provisioning.address.bind-requested.v1', data });
};

/** Refused where it is not asked for any more: what was done at hosts is then taken back by the workflow's undoing. */
export const recordBound = ({ addressId, vmId, workflowId, seen }: RecordBound, address: Address): AddressDecision => {
  if (!isKept(address)) return reject({ code: 'address.unknown', addressId });
  const { action } = address;
  if (action?.name === 'bind' && action.workflowId === workflowId && action.vmId === vmId) {
    const data = { addressId, vmId, ...fromOf(action.from), workflowId, ...(seen ? { seen } : {}) };
    return accept({ type: 'chrysalis.provisioning.address.bound.v1', data });
  }
  if (!action && isSo(address, vmId)) return accept();
  return refusedOf(address, addressId) ?? reject({ code: 'address.not_bound', addressId });
};

export const requestUnbind = ({ addressId, request }: RequestUnbind, address: Address): AddressDecision => {
  if (address.status === 'reserved' && !address.action) return accept();
  if (address.status !== 'unknown' && address.action?.name === 'unbind') return accept();
  const refused = refusedOf(address, addressId);
  if (refused) return refused;
  const { vmId } = address as { vmId: string };
  return accept({ type: 'chrysalis.provisioning.address.unbind-requested.v1', data: { addressId, vmId, request } });
};

export const recordUnbound = ({ addressId, vmId, workflowId }: RecordUnbound, address: Address): AddressDecision => {
  if (address.status === 'unknown' || address.status === 'deleted') return reject({ code: 'address.unknown', addressId });
  const { action } = address;
  if (action?.name === 'unbind' && action.workflowId === workflowId && action.vmId === vmId)
    return accept({ type: 'chrysalis.provisioning.address.unbound.v1', data: { addressId, vmId, why: 'asked' } });
  if (!action && address.vmId !== vmId) return accept();
  return refusedOf(address, addressId) ?? reject({ code: 'address.bound', addressId, vmId });
};

/** Nothing is under way with it: that locks the VM too, and a VM that is locked is not deleted. */
export const leaveVm = ({ addressId, vmId }: LeaveVm, address: Address): AddressDecision => {
  if (address.status !== 'bound' || (address.vmId !== vmId && address.unsettled !== vmId)) return accept();
  return accept({ type: 'chrysalis.provisioning.address.unbound.v1', data: { addressId, vmId, why: 'vm-deleted' } });
};

/** The end of a workflow without success. That of an earlier one, told late, says nothing of the newer. */
export const failAction = ({ addressId, workflowId, undone, cause }: FailAction, address: Address): AddressDecision => {
  if (address.status === 'unknown' || address.action?.workflowId !== workflowId) return accept();
  const { name: action, vmId, from } = address.action;
  const of = { addressId, action, vmId, ...(from === undefined ? {} : { from }), workflowId, ...(undone ? {} : { left: true as const }) };
  return accept({ type: 'chrysalis.provisioning.address.action-failed.v1', data: { ...of, cause } });
};

export const release = ({ addressId }: Release, address: Address): AddressDecision => {
  if (address.status === 'deleted') return accept();
  const refused = refusedOf(address, addressId);
  if (refused) return refused;
  const { vmId } = address as { vmId?: string };
  if (vmId !== undefined) return reject({ code: 'address.bound', addressId, vmId });
  return accept({ type: 'chrysalis.provisioning.address.released.v1', data: { addressId } });
};
