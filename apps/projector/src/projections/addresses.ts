import { addressEvents as e, type AddressAction } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler } from '../projection.ts';

const begun = (addressId: string, action: AddressAction, operation: string): Change =>
  merge('addresses', addressId, { action: { action, operation }, operation, cause: undefined });
const ended = (addressId: string, members: Document | ((before: Document) => Document)): Change =>
  merge('addresses', addressId, (before) => ({ action: undefined, ...(typeof members === 'function' ? members(before) : members) }));

/** One of two VMs that may have it is gone: the other one counts as the one that has it. */
const without = (before: Document, gone: string): Document => {
  const vmId = [before['vmId'], before['unsettled']].find((vm) => vm !== undefined && vm !== gone);
  return { state: vmId === undefined ? 'reserved' : 'bound', vmId, unsettled: undefined, seen: vmId === undefined ? undefined : false };
};
/** What could not be taken back may stand. */
const maybeBound = ({ vmId: has }: Document, vmId: string): Document =>
  has === undefined ? { state: 'bound', vmId, seen: false } : has === vmId ? {} : { unsettled: vmId };

/** `state`: reserved, bound or deleted. */
export const addresses: readonly Handler[] = [
  on(e.addressReserved, (d) => [merge('addresses', d.addressId, { ...d, state: 'reserved' })]),
  on(e.addressBindRequested, (d) => [begun(d.addressId, 'bind', d.request.workflowId)]),
  on(e.addressBound, (d) => [ended(d.addressId, { state: 'bound', vmId: d.vmId, seen: d.seen ?? false, unsettled: undefined })]),
  on(e.addressUnbindRequested, (d) => [begun(d.addressId, 'unbind', d.request.workflowId)]),
  on(e.addressUnbound, (d) => [ended(d.addressId, (before) => without(before, d.vmId))]),
  on(e.addressActionFailed, (d) => [
    ended(d.addressId, (before) => ({ cause: d.cause, ...(d.left && d.action === 'bind' ? maybeBound(before, d.vmId) : {}) })),
  ]),
  on(e.addressReleased, (d) => [merge('addresses', d.addressId, { state: 'deleted', cause: undefined })]),
];
