import { ofTenant, type MessageContext } from '@chrysalis/service-kit';
import { decideAddress } from './decide-address.ts';
import { addressesOfVm } from './sql.ts';

/** In the commit that ends the VM: its reserved addresses are nobody's, and kept. */
export const leaveAddresses = async (ctx: MessageContext, vmId: string): Promise<void> => {
  for (const { addressId, tenant } of await addressesOfVm(ctx.tx, ctx.store.schema, vmId)) {
    const left = await decideAddress(ofTenant(ctx, tenant), addressId, { type: 'leave-vm', addressId, vmId });
    if (!left.ok) throw new Error(`${addressId} does not leave ${vmId}: ${left.rejection.code}`);
  }
};
