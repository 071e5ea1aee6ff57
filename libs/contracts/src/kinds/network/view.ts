import { z } from 'zod';
import { Ipv4, Ipv4Subnet } from '../../ipv4.ts';
import { Mtu, Vni } from '../../segment.ts';
import { Name } from '../../shapes.ts';
import { Row } from '../../views/rows.ts';
import { networkStates } from './shapes.ts';

export const Network = Row.extend({
  networkId: z.string(),
  name: Name,
  tenant: Name,
  state: z.enum(networkStates),
  subnet: Ipv4Subnet,
  vni: Vni.describe('the number of its segment; no other network has it'),
  mtu: Mtu.describe('of the frames that VMs send'),
  addresses: z.record(Ipv4, z.string()).describe('address -> the VM that has it'),
  reserved: z.record(Ipv4, z.string()).optional().describe('reserved address -> its id'),
}).meta({ id: 'Network' });
export type Network = z.infer<typeof Network>;
