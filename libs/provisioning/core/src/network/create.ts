import { rangeOf, subnetText, overlap } from '@chrysalis/contracts';
import { accept, canonicalJson, reject } from '@chrysalis/kernel';
import type { Network, NetworkCreated, NetworkDecision } from './network.ts';

/** `other`: the tenant’s network that has a part of the subnet. */
export type CreateNetwork = Readonly<{
  type: 'create';
  network: NetworkCreated;
  other?: Readonly<{ networkId: string; subnet: string }> | undefined;
}>;
export type DeleteNetwork = Readonly<{ type: 'delete'; networkId: string }>;

const SMALLEST = 29;
const LARGEST = 16;
const setAside = [
  ['0.0.0.0/8', 'of no network'],
  ['127.0.0.0/8', 'of each machine’s own'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/3', 'of groups, or of nobody yet'],
] as const;

/** Why no network can have this subnet. */
const unusable = (subnet: string): string | undefined => {
  const range = rangeOf(subnet);
  if (subnetText(range) !== subnet) return `bits are set behind its prefix: ${subnetText(range)} is meant, or another`;
  if (range.prefix < LARGEST || range.prefix > SMALLEST) return `a network has /${LARGEST} to /${SMALLEST}`;
  const other = setAside.find(([text]) => overlap(rangeOf(text), range));
  return other && `${other[0]} is set aside: ${other[1]}`;
};

export const createNetwork = ({ network: data, other }: CreateNetwork, network: Network): NetworkDecision => {
  const { networkId, name, tenant, subnet, mtu } = data;
  const reason = unusable(subnet);
  if (reason) return reject({ code: 'network.subnet_unusable', subnet, reason });
  if (network.status === 'unknown' && other) return reject({ code: 'network.subnet_overlaps', ...other, requested: subnet });
  if (network.status === 'unknown') return accept({ type: 'chrysalis.provisioning.network.created.v1', data });
  const same = canonicalJson([network.name, network.tenant, network.subnet, network.mtu]) === canonicalJson([name, tenant, subnet, mtu]);
  return same ? accept() : reject({ code: 'network.conflict', networkId });
};

/** Whoever has an address is on it, whether it runs or not; and one that is reserved is kept. One that is gone is gone. */
export const deleteNetwork = ({ networkId }: DeleteNetwork, network: Network): NetworkDecision => {
  if (network.status === 'unknown') return reject({ code: 'network.unknown', networkId });
  if (network.status === 'deleted') return accept();
  const vmIds = [...network.addresses.values()];
  const reserved = [...network.reserved.values()];
  if (vmIds.length > 0 || reserved.length > 0) return inUse(networkId, vmIds, reserved);
  return accept({ type: 'chrysalis.provisioning.network.deleted.v1', data: { networkId } });
};

const inUse = (networkId: string, vmIds: readonly string[], reserved: readonly string[]): NetworkDecision => {
  const [vmId] = vmIds;
  const [addressId] = reserved;
  return reject({
    code: 'network.in_use',
    networkId,
    ...(vmId === undefined ? {} : { vmId }),
    vmIds: vmIds.slice(0, 10),
    vms: vmIds.length,
    ...(addressId === undefined ? {} : { addressId }),
    reserved: reserved.length,
  });
};
