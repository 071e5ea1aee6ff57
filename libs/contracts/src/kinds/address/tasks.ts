import { z } from 'zod';
import { task } from '../../define.ts';
import { Ipv4 } from '../../ipv4.ts';
import { Id, Sha256, Topology } from '../../shapes.ts';
import { none, onVm, shaped } from '../../tasks/common.ts';
import { NetworkId } from '../network/shapes.ts';
import { AddressId } from './shapes.ts';

/** The hardware of the VM, as its host shows it. */
const hardware = { topology: Topology, topologyHash: Sha256 };

/** Of provisioning: what the address's stream is told. */
export const addressTasks = {
  recordAddressBound: task(
    'provisioning',
    'address.record-bound',
    'Record which VM has the address, and the hardware of it and of the one that had it; refused where that is not asked for any more',
    z.object({
      addressId: AddressId,
      vmId: Id,
      ...hardware,
      seen: z.boolean().optional(),
      from: z.object({ vmId: Id, ...hardware }).optional(),
    }),
    none,
  ),
  recordAddressUnbound: task(
    'provisioning',
    'address.record-unbound',
    'Record that the VM has the address no more, and its hardware',
    z.object({ addressId: AddressId, vmId: Id, ...hardware }),
    none,
  ),
};

const address = { network: NetworkId, address: Ipv4 };

/** Of executor `host:<hostId>`. */
export const addressHostTasks = {
  bindAddress: task(
    'agent-gateway',
    'host.bind-address',
    'Let a VM have a further address on a network, running or off, and have whoever is on the segment know its place',
    z.object({ ...onVm, ...address }),
    shaped,
  ),
  unbindAddress: task(
    'agent-gateway',
    'host.unbind-address',
    'Let a VM have the address no more, running or off; what it says as it is dropped from then on',
    z.object({ ...onVm, ...address }),
    shaped,
  ),
  carryAddress: task(
    'agent-gateway',
    'host.carry-address',
    'Have the guest carry the address, or carry it no more, where there is somebody in it who can be told; says whether it shows it then',
    z.object({ ...onVm, ...address, carry: z.boolean() }),
    /** Absent: there is nobody in it to ask, or it is off. */
    z.object({ seen: z.boolean().optional() }),
  ),
};
