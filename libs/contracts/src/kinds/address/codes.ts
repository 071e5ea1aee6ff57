import type { CodeEntries } from '../../codes/entry.ts';

/** Refusals of provisioning about reserved addresses; which addresses of a network there are to have is said by the network. */
export const addressCodes = {
  'address.unknown': { status: 404, title: 'There is no such reserved address', next: 'chrysalis address list' },
  'address.conflict': { status: 409, title: 'The address was reserved as something else', next: 'give the new one another id' },
  'address.bound': {
    status: 409,
    title: 'A VM has the address',
    next: [
      'take it from {vmId}: chrysalis address unbind {addressId}; or move it away from there, which ends what goes over it: chrysalis address bind {addressId} --vm VM --move',
      'chrysalis address list shows who has it',
    ],
  },
  'address.in_action': {
    status: 409,
    title: 'The address is being bound or unbound',
    next: 'wait for the end of that: chrysalis operation wait {operation}',
  },
  'address.unsettled': {
    status: 409,
    title: 'A move of the address did not come to its end and was not taken back: both VMs may have it',
    next: 'say which of the two is to have it: chrysalis address bind {addressId} --vm {vmId} --move',
  },
  'address.not_bound': { status: 409, title: 'No VM has the address', next: 'nothing is left to do' },
  'address.not_on_network': {
    status: 409,
    title: 'The VM is not on the network of the address',
    next: 'bind it to one that is: chrysalis network get {networkId}',
  },
  'address.vm_full': {
    status: 409,
    title: 'The VM has as many further addresses on the network as a VM may have',
    next: 'unbind one from it first: chrysalis address list --vm {vmId}',
  },
} as const satisfies CodeEntries;
