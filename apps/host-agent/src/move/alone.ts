// Both halves of a move without the agent around them: for who moves a VM between two drivers of its own.
export { newVmState } from '../durable/vm-state.ts';
export { VmStates } from '../durable/vm-states.ts';
export type { AskPeer, MoveDeps } from './deps.ts';
export { SourceMoves, type TransferResult } from './source.ts';
export { TargetMoves } from './target.ts';
