import { z } from 'zod';
import { command } from '../../commands.ts';
import { Ipv4Subnet } from '../../ipv4.ts';
import { DEFAULT_MTU, Mtu } from '../../segment.ts';
import { Name } from '../../shapes.ts';
import { NetworkId, networkStates } from './shapes.ts';

/** Each is declared once for its route and for `chrysalis.commands`. */
export const networkCommands = {
  createNetwork: command('chrysalis.provisioning.network.create.v1', 'Make a network: a layer-2 segment that spans hosts', {
    body: z.strictObject({
      name: Name,
      subnet: Ipv4Subnet,
      /** Of the frames that VMs send; their hosts’ own network has to carry 50 more. */
      mtu: Mtu.default(DEFAULT_MTU),
    }),
    answer: z.object({ networkId: NetworkId }),
  }),
  deleteNetwork: command('chrysalis.provisioning.network.delete.v1', 'Delete a network that no VM is on, and no address is reserved in', {
    params: ['id'],
    body: z.strictObject({}),
    answer: z.object({ networkId: NetworkId, state: z.enum(networkStates) }),
  }),
};
