export * from './capacity.ts';
export * from './place.ts';
export { needOn, policies, stateRefuses, staysOn } from './policies.ts';
export type * from './types.ts';
