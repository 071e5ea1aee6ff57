import { addressOf, numberOf, rangeOf, within } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { firstOf, lastOf, type KnownNetwork, type Network, type NetworkDecision } from './network.ts';

/** `address` absent: the next that is free. */
export type GiveAddress = Readonly<{ type: 'give-address'; networkId: string; vmId: string; address?: string | undefined }>;
/** The VM is gone. */
export type ReturnAddress = Readonly<{ type: 'return-address'; networkId: string; vmId: string }>;

/** An address is one NIC's: this stream is the ledger that says whose. The same asked for again says nothing. */
export const giveAddress = ({ networkId, vmId, address: wanted }: GiveAddress, network: Network): NetworkDecision => {
  if (network.status !== 'active') return reject({ code: 'network.unknown', networkId });
  const has = addressOfVm(network, vmId);
  if (has !== undefined && (wanted === undefined || wanted === has)) return accept();
  const address = wanted ?? nextFree(network);
  if (address === undefined) return reject({ code: 'network.addresses_exhausted', networkId, subnet: network.subnet });
  return refused(network, address, vmId) ?? accept({ type: 'chrysalis.provisioning.network.address-given.v1', data: { networkId, vmId, address } }); // prettier-ignore
};

export const returnAddress = ({ networkId, vmId }: ReturnAddress, network: Network): NetworkDecision => {
  if (network.status === 'unknown') return reject({ code: 'network.unknown', networkId });
  const address = addressOfVm(network, vmId);
  return address === undefined
    ? accept()
    : accept({ type: 'chrysalis.provisioning.network.address-returned.v1', data: { networkId, vmId, address } });
};

export const addressOfVm = ({ addresses }: KnownNetwork, vmId: string): string | undefined => {
  for (const [address, owner] of addresses) if (owner === vmId) return address;
  return undefined;
};

/** One that the VM has already, and asks another beside, is taken as well: a VM has one. */
const refused = (network: KnownNetwork, address: string, vmId: string): NetworkDecision | undefined => {
  const { networkId, subnet, addresses } = network;
  const range = rangeOf(subnet);
  const n = numberOf(address);
  if (!within(range, n)) return reject({ code: 'network.address_outside', networkId, address, subnet });
  const reservedFor = { [range.first]: 'the network', [range.first + 1]: 'its hosts', [range.last]: 'its broadcast' }[n];
  if (reservedFor) return reject({ code: 'network.address_reserved', networkId, address, reservedFor });
  const owner = addresses.get(address);
  if (owner !== undefined) return reject({ code: 'network.address_taken', networkId, address, vmId: owner });
  const own = addressOfVm(network, vmId);
  return own === undefined ? undefined : reject({ code: 'network.address_taken', networkId, address: own, vmId });
};

/** From behind the one that was given last, round the whole subnet once. */
const nextFree = ({ subnet, addresses, last }: KnownNetwork): string | undefined => {
  const range = rangeOf(subnet);
  const first = firstOf(range);
  const size = lastOf(range) - first + 1;
  for (let i = 1; i <= size; i++) {
    const address = addressOf(first + ((last - first + i) % size));
    if (!addresses.has(address)) return address;
  }
  return undefined;
};
