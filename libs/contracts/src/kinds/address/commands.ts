import { z } from 'zod';
import { command } from '../../commands.ts';
import { Ipv4 } from '../../ipv4.ts';
import { Id, Name } from '../../shapes.ts';
import { NetworkId } from '../network/shapes.ts';
import { AddressId, addressStates } from './shapes.ts';

/** Without an operation it is so already. */
const Acted = z.object({ addressId: AddressId, state: z.enum(addressStates), operation: Id.optional() });

/** Each is declared once for its route and for `chrysalis.commands`. */
export const addressCommands = {
  reserveAddress: command('chrysalis.provisioning.address.reserve.v1', 'Reserve an address of a network', {
    body: z.strictObject({
      network: NetworkId,
      /** Absent: the next that is free. */
      address: Ipv4.optional(),
      /** Absent: `ip-10-7-0-50`. */
      name: Name.optional(),
    }),
    answer: z.object({ addressId: AddressId, address: Ipv4 }),
  }),
  bindAddress: command('chrysalis.provisioning.address.bind.v1', 'Ask that a VM on its network has the address, running or off', {
    params: ['id'],
    body: z.strictObject({
      vm: Id,
      /** Also where another VM has it, which has it no more then. */
      move: z.boolean().optional(),
    }),
    answer: Acted,
  }),
  unbindAddress: command('chrysalis.provisioning.address.unbind.v1', 'Ask that the VM which has the address has it no more', {
    params: ['id'],
    body: z.strictObject({}),
    answer: Acted,
  }),
  releaseAddress: command('chrysalis.provisioning.address.release.v1', 'Give back an address that no VM has', {
    params: ['id'],
    body: z.strictObject({}),
    answer: z.object({ addressId: AddressId, state: z.enum(addressStates) }),
  }),
};
