import { z } from 'zod';
import { event, type EventsOf } from '../../define.ts';
import { Ipv4, Ipv4Subnet } from '../../ipv4.ts';
import { Mtu, Vni } from '../../segment.ts';
import { Id, Name } from '../../shapes.ts';
import { NetworkId } from './shapes.ts';

/** Stream: `network-<uuid>`, which is the network's id, and the ledger of its addresses. */
export const networkEvents = {
  networkCreated: event(
    'chrysalis.provisioning.network.created.v1',
    'A tenant has a network; hosts make their part of it when a VM there is on it',
    z.object({ networkId: NetworkId, name: Name, tenant: Name, subnet: Ipv4Subnet, vni: Vni, mtu: Mtu }),
  ),
  networkAddressGiven: event(
    'chrysalis.provisioning.network.address-given.v1',
    'The address is this VM’s NIC’s until the VM is gone',
    z.object({ networkId: NetworkId, vmId: Id, address: Ipv4 }),
  ),
  networkAddressReturned: event(
    'chrysalis.provisioning.network.address-returned.v1',
    'The VM is gone, and its address is nobody’s',
    z.object({ networkId: NetworkId, vmId: Id, address: Ipv4 }),
  ),
  networkAddressReserved: event(
    'chrysalis.provisioning.network.address-reserved.v1',
    'The address is kept for whichever VM it is bound to, until it is released',
    z.object({ networkId: NetworkId, addressId: Id, address: Ipv4 }),
  ),
  networkAddressReleased: event(
    'chrysalis.provisioning.network.address-released.v1',
    'The address is kept no more, and is nobody’s',
    z.object({ networkId: NetworkId, addressId: Id, address: Ipv4 }),
  ),
  networkDeleted: event('chrysalis.provisioning.network.deleted.v1', 'The network is gone', z.object({ networkId: NetworkId })),
} as const;
export type NetworkEvent = EventsOf<typeof networkEvents>;
