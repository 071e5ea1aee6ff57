import type { AddressAction, AddressEvent, Cause, Coded } from '@chrysalis/contracts';
import { reject, unreachable, type Decision } from '@chrysalis/kernel';

export type AddressReserved = Extract<AddressEvent, { type: 'chrysalis.provisioning.address.reserved.v1' }>['data'];

/** The state of one reserved address's stream. */
export type KnownAddress = Readonly<AddressReserved> &
  Readonly<{
    status: 'reserved' | 'bound' | 'deleted';
    version: number;
    /** The one VM that has it. */
    vmId?: string;
    /** Another one that may have it too: a move was neither done nor taken back. Nothing but a move to one of the two settles it. */
    unsettled?: string;
    /** What is under way; nothing else may be done with it until that has ended. */
    action?: Readonly<{ name: AddressAction; workflowId: string; vmId: string; from?: string }>;
    cause?: Cause;
  }>;
export type Address = Readonly<{ status: 'unknown'; version: number }> | KnownAddress;
export const initialAddress: Address = { status: 'unknown', version: 0 };

export type AddressRejection = Coded<
  | { readonly code: 'address.unknown'; readonly addressId: string }
  | { readonly code: 'address.conflict'; readonly addressId: string }
  | { readonly code: 'address.bound'; readonly addressId: string; readonly vmId: string }
  | { readonly code: 'address.in_action'; readonly addressId: string; readonly action: AddressAction; readonly operation: string }
  | { readonly code: 'address.unsettled'; readonly addressId: string; readonly vmId: string; readonly vmIds: readonly string[] }
  | { readonly code: 'address.not_bound'; readonly addressId: string }
>;
export type AddressDecision = Decision<AddressEvent, AddressRejection>;

/** What rules out whatever else is asked: it is gone, something is under way, or two VMs may have it. */
export const refusedOf = (address: Address, addressId: string): AddressDecision | undefined => {
  if (address.status === 'unknown' || address.status === 'deleted') return reject({ code: 'address.unknown', addressId });
  const { action, unsettled, vmId } = address;
  if (action) return reject({ code: 'address.in_action', addressId, action: action.name, operation: action.workflowId });
  if (unsettled === undefined || vmId === undefined) return undefined;
  return reject({ code: 'address.unsettled', addressId, vmId, vmIds: [vmId, unsettled] });
};

/** From which VM it is taken where this one is to have it. */
export const takenFrom = ({ vmId: has, unsettled }: Pick<KnownAddress, 'vmId' | 'unsettled'>, vmId: string): string | undefined =>
  has === vmId ? unsettled : has;

export const evolveAddress = (address: Address, e: AddressEvent): Address => {
  const version = address.version + 1;
  if (e.type === 'chrysalis.provisioning.address.reserved.v1') return { ...e.data, status: 'reserved', version };
  if (address.status === 'unknown') return { ...address, version };
  return { ...change(address, e), version };
};

const change = (address: KnownAddress, e: Exclude<AddressEvent, { type: 'chrysalis.provisioning.address.reserved.v1' }>): KnownAddress => {
  switch (e.type) {
    case 'chrysalis.provisioning.address.bind-requested.v1': {
      const { vmId, from, request } = e.data;
      return begun(address, { name: 'bind', workflowId: request.workflowId, vmId, ...(from === undefined ? {} : { from }) });
    }
    case 'chrysalis.provisioning.address.bound.v1': {
      const { unsettled: _, ...rest } = ended(address);
      return { ...rest, status: 'bound', vmId: e.data.vmId };
    }
    case 'chrysalis.provisioning.address.unbind-requested.v1':
      return begun(address, { name: 'unbind', workflowId: e.data.request.workflowId, vmId: e.data.vmId });
    case 'chrysalis.provisioning.address.unbound.v1':
      return without(ended(address), e.data.vmId);
    case 'chrysalis.provisioning.address.action-failed.v1': {
      const { cause, left, action, vmId } = e.data;
      const before: KnownAddress = { ...ended(address), cause };
      return left && action === 'bind' ? maybeBound(before, vmId) : before;
    }
    case 'chrysalis.provisioning.address.released.v1':
      return { ...address, status: 'deleted' };
    default:
      return unreachable(e);
  }
};

const begun = ({ cause: _, ...address }: KnownAddress, action: NonNullable<KnownAddress['action']>): KnownAddress => ({
  ...address,
  action,
});
const ended = ({ action: _, ...address }: KnownAddress): KnownAddress => address;

/** One of two VMs that may have it is gone: the other one counts as the one that has it. */
const without = ({ vmId: has, unsettled, ...rest }: KnownAddress, gone: string): KnownAddress => {
  const left = [has, unsettled].find((vm) => vm !== undefined && vm !== gone);
  return left === undefined ? { ...rest, status: 'reserved' } : { ...rest, status: 'bound', vmId: left };
};

const maybeBound = (address: KnownAddress, vmId: string): KnownAddress => {
  if (address.vmId === undefined) return { ...address, status: 'bound', vmId };
  return address.vmId === vmId ? address : { ...address, unsettled: vmId };
};
