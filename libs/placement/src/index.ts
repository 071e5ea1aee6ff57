export * from './blockers.ts';
export * from './capacity.ts';
export { findHost } from './find-host.ts';
export * from './place.ts';
export { connected, hardwarePolicies, ledgerPolicies, needOn, policies, poolNamed } from './policies.ts';
export * from './request.ts';
export type * from './types.ts';
