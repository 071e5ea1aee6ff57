import { z } from 'zod';
import { event, type EventsOf } from '../../define.ts';
import { Ipv4 } from '../../ipv4.ts';
import { Cause, Id, Name } from '../../shapes.ts';
import { WorkflowRequest } from '../../workflow.ts';
import { NetworkId } from '../network/shapes.ts';
import { AddressAction, AddressId } from './shapes.ts';

/** Stream: `address-<uuid>`, which is the address's id, and says which VM has it. An event that carries `request` starts that workflow. */
export const addressEvents = {
  addressReserved: event(
    'chrysalis.provisioning.address.reserved.v1',
    'A tenant keeps an address of a network; no VM has it',
    z.object({ addressId: AddressId, name: Name, tenant: Name, networkId: NetworkId, address: Ipv4 }),
  ),
  addressBindRequested: event(
    'chrysalis.provisioning.address.bind-requested.v1',
    'The VM is to have the address; `from`: which is taken from that VM',
    z.object({ addressId: AddressId, vmId: Id, from: Id.optional(), request: WorkflowRequest }),
  ),
  addressBound: event(
    'chrysalis.provisioning.address.bound.v1',
    'The VM has the address. `seen`: its guest shows it; absent: nobody in it could be asked, or it is off, and the guest has to carry it by itself',
    z.object({ addressId: AddressId, vmId: Id, from: Id.optional(), workflowId: Id, seen: z.literal(true).optional() }),
  ),
  addressUnbindRequested: event(
    'chrysalis.provisioning.address.unbind-requested.v1',
    'The VM is to have the address no more',
    z.object({ addressId: AddressId, vmId: Id, request: WorkflowRequest }),
  ),
  addressUnbound: event(
    'chrysalis.provisioning.address.unbound.v1',
    'The VM does not have the address any more; it is kept',
    z.object({ addressId: AddressId, vmId: Id, why: z.enum(['asked', 'vm-deleted']) }),
  ),
  addressActionFailed: event(
    'chrysalis.provisioning.address.action-failed.v1',
    'What was asked of the address did not come to its end; it is as it was before. `left`: the VM may have it all the same, and so it counts as its, or as one of two',
    z.object({
      addressId: AddressId,
      action: AddressAction,
      vmId: Id,
      from: Id.optional(),
      workflowId: Id,
      left: z.literal(true).optional(),
      cause: Cause,
    }),
  ),
  addressReleased: event(
    'chrysalis.provisioning.address.released.v1',
    'The address is kept no more: it is the network’s to give',
    z.object({ addressId: AddressId }),
  ),
} as const;
export type AddressEvent = EventsOf<typeof addressEvents>;
