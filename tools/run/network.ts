import { assertUserNamespaces, mayMakeNamespaces, NamespacesUnavailable, ownUserNamespace } from '../../infra/network/user-namespace.ts';
import { drivers, type Driver } from './driver.ts';

/** `namespaces`: one a host, joined by a bridge. `loopback`: one for all, each host a loopback address, and no wire to any guest. */
export const networks = ['namespaces', 'loopback'] as const;
export type Network = (typeof networks)[number];
export type NetworkChoice = { readonly network: Network; readonly why: string };

/**
 * What was asked for; else namespaces for real VMs where this account can have them, by itself or in a user namespace.
 * Throws `NamespacesUnavailable` only where namespaces were asked for by name.
 */
export const chooseNetwork = (driver: Driver, asked: Network | undefined, may: () => void = assertNamespaces): NetworkChoice => {
  if (driver === 'simulated') return { network: 'loopback', why: 'simulated guests put no frame on any wire' };
  if (asked === 'loopback') return { network: 'loopback', why: '--network loopback' };
  try {
    may();
    return { network: 'namespaces', why: 'this account can have them' };
  } catch (error) {
    if (asked || !(error instanceof NamespacesUnavailable)) throw error;
    return { network: 'loopback', why: `${error.why}. ${error.remedy}`.trim() };
  }
};

/** What cannot be of `--driver` and `--network` as they were typed. */
export const faultOfHosts = ({ driver, network }: { readonly driver?: string; readonly network?: string }): string | undefined => {
  const one = (names: readonly string[], name: string | undefined): boolean => name === undefined || names.includes(name);
  if (!one(drivers, driver)) return `--driver is one of ${drivers.join(', ')}`;
  const forNoWire = network !== undefined && driver === 'simulated';
  return !one(networks, network) || forNoWire ? `--network is one of ${networks.join(', ')}, for real VMs` : undefined;
};

const assertNamespaces = (): void => {
  if (!mayMakeNamespaces() && !ownUserNamespace()) assertUserNamespaces();
};
