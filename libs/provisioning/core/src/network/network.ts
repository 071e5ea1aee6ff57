import { numberOf, rangeOf, type Coded, type NetworkEvent, type Range } from '@chrysalis/contracts';
import { unreachable, type Decision } from '@chrysalis/kernel';

export type NetworkCreated = Extract<NetworkEvent, { type: 'chrysalis.provisioning.network.created.v1' }>['data'];

/** The state of one network's stream. */
export type KnownNetwork = Readonly<NetworkCreated> &
  Readonly<{
    status: 'active' | 'deleted';
    version: number;
    /** Which VM has which address; a VM has one. */
    addresses: ReadonlyMap<string, string>;
    /** Which reserved address is whose: of those `addresses` has none. */
    reserved: ReadonlyMap<string, string>;
    /** That was given last, as a number: one that was given back is given again as late as can be. */
    last: number;
  }>;
export type Network = Readonly<{ status: 'unknown'; version: number }> | KnownNetwork;
export const initialNetwork: Network = { status: 'unknown', version: 0 };

export type NetworkRejection = Coded<
  | { readonly code: 'network.unknown'; readonly networkId: string }
  | { readonly code: 'network.conflict'; readonly networkId: string }
  | { readonly code: 'network.subnet_unusable'; readonly subnet: string; readonly reason: string }
  | { readonly code: 'network.subnet_overlaps'; readonly networkId: string; readonly subnet: string; readonly requested: string }
  | {
      readonly code: 'network.in_use';
      readonly networkId: string;
      readonly vmId?: string;
      readonly vmIds: readonly string[];
      readonly vms: number;
      readonly addressId?: string;
      readonly reserved: number;
    }
  | { readonly code: 'network.address_outside'; readonly networkId: string; readonly address: string; readonly subnet: string }
  | { readonly code: 'network.address_reserved'; readonly networkId: string; readonly address: string; readonly reservedFor: string }
  | {
      readonly code: 'network.address_taken';
      readonly networkId: string;
      readonly address: string;
      readonly vmId?: string;
      readonly addressId?: string;
    }
  /** `address`: the one that the VM has. */
  | {
      readonly code: 'network.joined';
      readonly networkId: string;
      readonly vmId: string;
      readonly address: string;
      readonly requested: string;
    }
  | { readonly code: 'network.addresses_exhausted'; readonly networkId: string; readonly subnet: string }
>;
export type NetworkDecision = Decision<NetworkEvent, NetworkRejection>;

/** The network's own address, its hosts', and its broadcast are nobody's. */
export const firstOf = ({ first }: Range): number => first + 2;
export const lastOf = ({ last }: Range): number => last - 1;

export const evolveNetwork = (network: Network, e: NetworkEvent): Network => {
  const version = network.version + 1;
  if (e.type === 'chrysalis.provisioning.network.created.v1') {
    const last = firstOf(rangeOf(e.data.subnet)) - 1;
    return { ...e.data, status: 'active', version, addresses: new Map(), reserved: new Map(), last };
  }
  if (network.status === 'unknown') return { ...network, version };
  return { ...change(network, e), version };
};

const change = (
  network: KnownNetwork,
  e: Exclude<NetworkEvent, { type: 'chrysalis.provisioning.network.created.v1' }>,
): Omit<KnownNetwork, 'version'> => {
  switch (e.type) {
    case 'chrysalis.provisioning.network.address-given.v1': {
      const { address, vmId } = e.data;
      return { ...network, addresses: new Map(network.addresses).set(address, vmId), last: numberOf(address) };
    }
    case 'chrysalis.provisioning.network.address-returned.v1': {
      const addresses = new Map(network.addresses);
      addresses.delete(e.data.address);
      return { ...network, addresses };
    }
    case 'chrysalis.provisioning.network.address-reserved.v1': {
      const { address, addressId } = e.data;
      return { ...network, reserved: new Map(network.reserved).set(address, addressId), last: numberOf(address) };
    }
    case 'chrysalis.provisioning.network.address-released.v1': {
      const reserved = new Map(network.reserved);
      reserved.delete(e.data.address);
      return { ...network, reserved };
    }
    case 'chrysalis.provisioning.network.deleted.v1':
      return { ...network, status: 'deleted' };
    default:
      return unreachable(e);
  }
};
