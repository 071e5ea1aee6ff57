export * from './decider.ts';
export * from './fleet.ts';
export * from './host.ts';
export * from './pool/index.ts';
export type { ChangeState } from './change-state.ts';
export type { HoldCapacity } from './hold.ts';
export type { Release } from './release.ts';
export type { ReportFacts } from './report-facts.ts';
export type { Swap } from './swap.ts';
