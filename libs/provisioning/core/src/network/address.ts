import { addressOf, numberOf, rangeOf, within } from '@chrysalis/contracts';
import { accept, reject } from '@chrysalis/kernel';
import { firstOf, lastOf, type KnownNetwork, type Network, type NetworkDecision } from './network.ts';

/** `address` absent: the next that is free. */
export type GiveAddress = Readonly<{ type: 'give-address'; networkId: string; vmId: string; address?: string | undefined }>;
/** The VM is gone. */
export type ReturnAddress = Readonly<{ type: 'return-address'; networkId: string; vmId: string }>;

/** Kept for whichever VM it is bound to. */
export type ReserveAddress = Readonly<{ type: 'reserve-address'; networkId: string; addressId: string; address?: string | undefined }>;
export type ReleaseAddress = Readonly<{ type: 'release-address'; networkId: string; addressId: string }>;

/** An address is one NIC's: this stream is the ledger that says whose. The same asked for again says nothing. */
export const giveAddress = ({ networkId, vmId, address: wanted }: GiveAddress, network: Network): NetworkDecision => {
  if (network.status !== 'active') return reject({ code: 'network.unknown', networkId });
  const has = addressOfVm(network, vmId);
  if (has !== undefined && (wanted === undefined || wanted === has)) return accept();
  if (has !== undefined && wanted !== undefined)
    return reject({ code: 'network.joined', networkId, vmId, address: has, requested: wanted });
  const address = wanted ?? nextFree(network);
  if (address === undefined) return reject({ code: 'network.addresses_exhausted', networkId, subnet: network.subnet });
  return refused(network, address) ?? accept({ type: 'chrysalis.provisioning.network.address-given.v1', data: { networkId, vmId, address } }); // prettier-ignore
};

/** Of the same ledger: what is kept is given to nobody. */
export const reserveAddress = ({ networkId, addressId, address: wanted }: ReserveAddress, network: Network): NetworkDecision => {
  if (network.status !== 'active') return reject({ code: 'network.unknown', networkId });
  const has = reservedAs(network, addressId);
  if (has !== undefined && (wanted === undefined || wanted === has)) return accept();
  const address = wanted ?? nextFree(network);
  if (address === undefined) return reject({ code: 'network.addresses_exhausted', networkId, subnet: network.subnet });
  const another = has === undefined ? undefined : reject({ code: 'network.address_taken' as const, networkId, address: has, addressId });
  return refused(network, address) ?? another ?? accept({ type: 'chrysalis.provisioning.network.address-reserved.v1', data: { networkId, addressId, address } }); // prettier-ignore
};

export const releaseAddress = ({ networkId, addressId }: ReleaseAddress, network: Network): NetworkDecision => {
  if (network.status === 'unknown') return reject({ code: 'network.unknown', networkId });
  const address = reservedAs(network, addressId);
  return address === undefined
    ? accept()
    : accept({ type: 'chrysalis.provisioning.network.address-released.v1', data: { networkId, addressId, address } });
};

export const returnAddress = ({ networkId, vmId }: ReturnAddress, network: Network): NetworkDecision => {
  if (network.status === 'unknown') return reject({ code: 'network.unknown', networkId });
  const address = addressOfVm(network, vmId);
  return address === undefined
    ? accept()
    : accept({ type: 'chrysalis.provisioning.network.address-returned.v1', data: { networkId, vmId, address } });
};

export const addressOfVm = ({ addresses }: KnownNetwork, vmId: string): string | undefined => keyOf(addresses, vmId);
export const reservedAs = ({ reserved }: KnownNetwork, addressId: string): string | undefined => keyOf(reserved, addressId);
const keyOf = (map: ReadonlyMap<string, string>, value: string): string | undefined => {
  for (const [key, has] of map) if (has === value) return key;
  return undefined;
};

/** What nobody can have, and what somebody has. (One that a VM has, and asks another beside, is taken as well: it has one.) */
const refused = (network: KnownNetwork, address: string): NetworkDecision | undefined => {
  const { networkId, subnet, addresses, reserved } = network;
  const range = rangeOf(subnet);
  const n = numberOf(address);
  if (!within(range, n)) return reject({ code: 'network.address_outside', networkId, address, subnet });
  const reservedFor = { [range.first]: 'the network', [range.first + 1]: 'its hosts', [range.last]: 'its broadcast' }[n];
  if (reservedFor) return reject({ code: 'network.address_reserved', networkId, address, reservedFor });
  const owner = addresses.get(address);
  if (owner !== undefined) return reject({ code: 'network.address_taken', networkId, address, vmId: owner });
  const addressId = reserved.get(address);
  return addressId === undefined ? undefined : reject({ code: 'network.address_taken', networkId, address, addressId });
};

/** From behind the one that was given last, round the whole subnet once. */
const nextFree = ({ subnet, addresses, reserved, last }: KnownNetwork): string | undefined => {
  const range = rangeOf(subnet);
  const first = firstOf(range);
  const size = lastOf(range) - first + 1;
  for (let i = 1; i <= size; i++) {
    const address = addressOf(first + ((last - first + i) % size));
    if (!addresses.has(address) && !reserved.has(address)) return address;
  }
  return undefined;
};
