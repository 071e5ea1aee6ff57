import { type FilterRule, type provisioningCommands } from '@chrysalis/contracts';
import { networks, type Requested } from '@chrysalis/provisioning-core';
import { ofTenant, ProblemError, type CommandContext, type MessageContext } from '@chrysalis/service-kit';
import type { z } from 'zod';
import { giveBackMac } from '../sql/addresses.ts';
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
  for (const one of [...wanted].sort((a, b) => (a.network < b.network ? -1 : 1))) {
    const id = one.network;
    if (nics.some((n) => n.id === id)) throw ProblemError.of({ code: 'network.named_twice', networkId: id });
    const segment = await takeAddress(ctx, { ...one, vmId, tenant: ctx.caller.tenant, allow });
    nics.push({ id, mac: await mac(id), network: id, segment });
  }
  return nics;
};

/** The VM's place on a network of its tenant; what it has already is the answer. */
export const takeAddress = async (
  ctx: MessageContext,
  { vmId, tenant, network: id, address, allow }: { vmId: string; tenant: string; allow: FilterRule[] } & Wanted[number],
): Promise<NonNullable<Nics[number]['segment']>> => {
  const there = await networkOf(ctx.tx, ctx.store.schema, tenant, id);
  if (!there || there.status === 'deleted') throw ProblemError.ofMember({ code: 'network.unknown', networkId: id });
  const decided = await decideNetwork(ctx, id, { type: 'give-address', networkId: id, vmId, address });
  if (!decided.ok) throw ProblemError.of(decided.rejection);
  const { vni, subnet, mtu } = decided.network;
  return { vni, subnet, address: networks.addressOfVm(decided.network, vmId)!, mtu, allow };
};

/** In the commit that ends its NIC there: address and MAC are anybody's again. */
export const leaveNetwork = async (ctx: MessageContext, vmId: string, networkId: string): Promise<void> => {
  const there = await networkOf(ctx.tx, ctx.store.schema, undefined, networkId);
  if (!there) return;
  await returnAddress(ctx, vmId, there);
  await giveBackMac(ctx.tx, ctx.store.schema, vmId, networkId);
};

const returnAddress = async (
  ctx: MessageContext,
  vmId: string,
  { networkId, tenant }: { networkId: string; tenant: string },
): Promise<void> => {
  const left = await decideNetwork(ofTenant(ctx, tenant), networkId, { type: 'return-address', networkId, vmId });
  if (!left.ok) throw new Error(`${vmId} does not leave ${networkId}: ${left.rejection.code}`);
};

/** In the commit that ends the VM: its addresses are anybody's again. */
export const leaveNetworks = async (ctx: MessageContext, vmId: string): Promise<void> => {
  for (const network of await networksOfVm(ctx.tx, ctx.store.schema, vmId)) await returnAddress(ctx, vmId, network);
};
