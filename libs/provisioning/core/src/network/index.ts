export { addressOfVm, reservedAs } from './address.ts';
export { networkDecider, type NetworkCommand } from './decider.ts';
export type { KnownNetwork, NetworkRejection } from './network.ts';
