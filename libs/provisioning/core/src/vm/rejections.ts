import { type Coded, type ObservedState, type Topology, type VmAction, type VmDoing, topologyHash } from '@chrysalis/contracts';
import { reject, type Decision } from '@chrysalis/kernel';
import type { KnownVm, Vm, VmEvent } from './vm.ts';

export type VmRejection = Coded<
  | { readonly code: 'vm.unknown'; readonly vmId: string }
  | { readonly code: 'vm.conflict'; readonly vmId: string }
  /** The VM is not in a state in which this can be done. */
  | { readonly code: 'vm.not_ready'; readonly vmId: string; readonly state: string }
  | { readonly code: 'vm.in_move'; readonly vmId: string; readonly moveId: string }
  /** An action is under way; `operation` is its workflow. */
  | { readonly code: 'vm.in_action'; readonly vmId: string; readonly action: VmDoing; readonly operation: string }
  | {
      readonly code: 'vm.action_not_possible';
      readonly vmId: string;
      readonly action: VmAction;
      readonly state: string;
      /** Where that is why: it is off, whatever was wanted of it. */
      readonly observed?: ObservedState;
      readonly fits: readonly VmAction[];
      /** What to type after `chrysalis`. */
      readonly instead: string;
    }
  | { readonly code: 'vm.labels_full'; readonly vmId: string; readonly count: number; readonly most: number }
  | { readonly code: 'vm.boots_kernel'; readonly vmId: string }
  | {
      readonly code: 'vm.boot_device_unknown';
      readonly message: string;
      readonly vmId: string;
      readonly device: string;
      readonly known: readonly string[];
    }
  | { readonly code: 'vm.boot_device_unfit'; readonly vmId: string; readonly device: string }
  | { readonly code: 'vm.halted'; readonly vmId: string; readonly state: string }
  | { readonly code: 'vm.not_in_move'; readonly vmId: string; readonly moveId: string }
  | { readonly code: 'vm.move_ended'; readonly vmId: string; readonly moveId: string }
  | { readonly code: 'vm.version_outdated'; readonly vmId: string; readonly expected: number; readonly actual: number }
  | { readonly code: 'vm.not_on_host'; readonly vmId: string; readonly host: string; readonly actual: string | undefined }
  | { readonly code: 'vm.type_mismatch'; readonly vmId: string; readonly expected: string; readonly actual: string }
  | { readonly code: 'vm.epoch_stale'; readonly vmId: string; readonly epoch: number; readonly current: number }
  | { readonly code: 'vm.topology_mismatch'; readonly vmId: string; readonly given: string; readonly computed: string }
>;

export type VmDecision = Decision<VmEvent, VmRejection>;

export const notReady = (vm: Vm, vmId: string): VmDecision =>
  vm.status === 'unknown' ? reject({ code: 'vm.unknown', vmId }) : reject({ code: 'vm.not_ready', vmId, state: vm.status });

/** What an action under way rules out: a move, a deletion, another action. */
export const inAction = ({ vmId }: KnownVm, { name, workflowId }: NonNullable<KnownVm['action']>): VmDecision =>
  reject({ code: 'vm.in_action', vmId, action: name, operation: workflowId });

/** Nobody's word is taken for a hash: it is what both ends of a move compare. */
export const wrongHash = (vmId: string, topology: Topology, given: string): VmDecision | undefined => {
  const computed = topologyHash(topology);
  return computed === given ? undefined : reject({ code: 'vm.topology_mismatch', vmId, given, computed });
};

export const notInMove = (vm: KnownVm, moveId: string): VmDecision | undefined => {
  if (vm.move?.moveId === moveId) return undefined;
  const { vmId } = vm;
  if (vm.endedMoves.has(moveId)) return reject({ code: 'vm.move_ended', vmId, moveId });
  return vm.move ? reject({ code: 'vm.in_move', vmId, moveId: vm.move.moveId }) : reject({ code: 'vm.not_in_move', vmId, moveId });
};
