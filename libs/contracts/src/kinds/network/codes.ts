import type { CodeEntries } from '../../codes/entry.ts';

/** Refusals of provisioning about networks and their addresses; what hosts say of segments is theirs. */
export const networkCodes = {
  'network.unknown': { status: 404, title: 'There is no such network', next: 'chrysalis network list' },
  'network.conflict': { status: 409, title: 'The network was requested as something else', next: 'give the new network another id' },
  'network.tenant_invalid': { status: 422, title: 'A network is a tenant’s', next: 'ask with a token of the tenant' },
  'network.subnet_unusable': {
    status: 422,
    title: 'A network cannot have this subnet',
    next: 'name one of /16 to /29, by its first address, that is not set aside for something else: 10.7.0.0/24',
  },
  'network.subnet_overlaps': {
    status: 409,
    title: 'Another network of the tenant has a part of this subnet',
    next: 'choose a subnet beside {subnet}: chrysalis network list',
  },
  'network.vnis_exhausted': { status: 409, title: 'Every segment number is taken', next: 'delete a network that nobody needs' },
  'network.in_use': {
    status: 409,
    title: 'VMs are on the network, or addresses of it are reserved',
    next: 'delete each VM that it names, also one that failed, and release each address; all of them: chrysalis network get {networkId}',
  },
  'network.address_outside': {
    status: 422,
    title: 'The address is not in the network’s subnet',
    next: 'ask for one in {subnet}, or for none',
  },
  'network.address_reserved': {
    status: 422,
    title: 'The address is the network’s own, its broadcast, or its hosts’',
    next: 'ask for another, or for none',
  },
  'network.address_taken': {
    status: 409,
    title: 'A VM has the address, or it is reserved',
    next: [
      'ask for another, or for none; chrysalis vm get {vmId} shows who has it',
      'ask for another, or for none; it is kept: chrysalis address get {addressId}',
      'ask for another, or for none',
    ],
  },
  'network.joined': {
    status: 409,
    title: 'The VM is on the network already, with another address',
    next: [
      'nothing, if {address} will do; or detach it first: chrysalis vm nic detach {vmId} --network {networkId}; a further address is bound beside: chrysalis address reserve',
      'nothing, if the address that it has will do',
    ],
  },
  'network.addresses_exhausted': {
    status: 409,
    title: 'Every address of the network is taken',
    next: 'make another network, delete VMs of this one, or release reserved addresses',
  },
  'network.named_twice': { status: 422, title: 'A VM is on a network once', next: 'name each network once' },
} as const satisfies CodeEntries;
