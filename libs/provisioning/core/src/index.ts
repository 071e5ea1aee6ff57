export * from './image.ts';
export * from './mac.ts';
export { vmDecider, type VmCommand } from './vm/decider.ts';
export { offeredEpoch } from './vm/move.ts';
export { FIRST_EPOCH, PROVISIONING_UNDONE } from './vm/provision.ts';
export type { VmDecision, VmRejection } from './vm/rejections.ts';
export type * from './vm/vm.ts';
export * from './vm-type.ts';
export * from './workflows.ts';
