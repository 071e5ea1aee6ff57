import type { WorkflowRequest } from '@chrysalis/contracts';
import { addresses } from '@chrysalis/provisioning-core';
import type { VmView } from '../vm-view.ts';

type Address = addresses.KnownAddress;
const which = ({ addressId, networkId, address }: Address) => ({ addressId, network: networkId, address });
const at = ({ id: vmId, host: hostId, epoch }: VmView) => ({ vmId, hostId, epoch });

/** `from`: the VM that it is taken from. */
export const binding = (address: Address, vm: VmView, from: VmView | undefined, workflowId: string): WorkflowRequest => ({
  workflowId,
  definition: from ? addresses.moveAddress : addresses.bindAddress,
  params: { ...which(address), ...at(vm), ...(from ? { fromVmId: from.id, fromHostId: from.host, fromEpoch: from.epoch } : {}) },
  subject: address.addressId,
});

export const unbinding = (address: Address, vm: VmView, workflowId: string): WorkflowRequest => ({
  workflowId,
  definition: addresses.unbindAddress,
  params: { ...which(address), ...at(vm) },
  subject: address.addressId,
});
