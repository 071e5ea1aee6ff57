import { z } from 'zod';
import { Ipv4 } from '../../ipv4.ts';
import { Cause, Name } from '../../shapes.ts';
import { Row } from '../../views/rows.ts';
import { AddressAction, addressStates } from './shapes.ts';

export const Address = Row.extend({
  addressId: z.string(),
  name: Name,
  tenant: Name,
  state: z.enum(addressStates),
  networkId: z.string(),
  address: Ipv4,
  operation: z.string().optional(),
  vmId: z.string().optional().describe('that has it'),
  seen: z.boolean().optional().describe('whether the guest of that VM was seen to show it; else the guest has to carry it by itself'),
  unsettled: z.string().optional().describe('the other VM that may have it, after a move that was neither done nor taken back'),
  action: z.object({ action: AddressAction, operation: z.string() }).optional().describe('under way'),
  cause: Cause.optional().describe('why the last operation on it did not come to its end'),
}).meta({ id: 'Address' });
export type Address = z.infer<typeof Address>;
