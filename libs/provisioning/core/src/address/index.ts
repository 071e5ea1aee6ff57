export { addressDecider, type AddressCommand } from './decider.ts';
export { takenFrom, type AddressRejection, type KnownAddress } from './address.ts';
export * from './workflows.ts';
