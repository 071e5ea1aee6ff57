import { type FilterRule, type provisioningCommands } from '@chrysalis/contracts';
import { networks, type Requested } from '@chrysalis/provisioning-core';
import { ofTenant, ProblemError, type CommandContext, type MessageContext } from '@chrysalis/service-kit';
import type { z } from 'zod';
import { decideNetwork } from './decide-network.ts';
import { networkOf, networksOfVm } from './sql.ts';

type Wanted = NonNullable<z.infer<typeof provisioningCommands.createVm.body>['networks']>;
type Nics = Requested['nics'];

/**
 * A NIC on each network, with an address of its own, in the commit that asks for the VM: where that is not asked for, nobody has them. In
 * one order always, so that two VMs that want two networks do not wait for each other.
 */
export const joinNetworks = async (
  ctx: CommandContext,
  { vmId, wanted, allow, mac }: { vmId: string; wanted: Wanted; allow: FilterRule[]; mac: (id: string) => Promise<string> },
): Promise<Nics> => {
  const nics: Nics = [];
  for (const { network: id, address } of [...wanted].sort((a, b) => (a.network < b.network ? -1 : 1))) {
    if (nics.some((n) => n.id === id)) throw ProblemError.of({ code: 'network.named_twice', networkId: id });
    const there = await networkOf(ctx.tx, ctx.store.schema, ctx.caller.tenant, id);
    if (!there || there.status === 'deleted') throw ProblemError.ofMember({ code: 'network.unknown', networkId: id });
    const decided = await decideNetwork(ctx, id, { type: 'give-address', networkId: id, vmId, address });
    if (!decided.ok) throw ProblemError.of(decided.rejection);
    const { vni, subnet, mtu } = decided.network;
    const segment = { vni, subnet, address: networks.addressOfVm(decided.network, vmId)!, mtu, allow };
    nics.push({ id, mac: await mac(id), network: id, segment });
  }
  return nics;
};

/** In the commit that ends the VM: its addresses are anybody's again. */
export const leaveNetworks = async (ctx: MessageContext, vmId: string): Promise<void> => {
  for (const { networkId, tenant } of await networksOfVm(ctx.tx, ctx.store.schema, vmId)) {
    const left = await decideNetwork(ofTenant(ctx, tenant), networkId, { type: 'return-address', networkId, vmId });
    if (!left.ok) throw new Error(`${vmId} does not leave ${networkId}: ${left.rejection.code}`);
  }
};
