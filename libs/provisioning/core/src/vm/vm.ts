import type {
  Cause,
  Desired,
  EventOf,
  Image,
  VmLabels,
  ObservedState,
  ProvisioningEvent,
  provisioningEvents,
  Ref,
  RestartPolicy,
  Shows,
  Topology,
  VmActionOptions,
  VmDoing,
  VmTypeSpec,
} from '@chrysalis/contracts';
import { unreachable } from '@chrysalis/kernel';
import { changeBegun, changeEnded } from './change.ts';
import { deletionRequested } from './delete.ts';
import { actionEnded, actionRequested, unhidden } from './lifecycle-state.ts';
import { reconfigured } from './reconfigure.ts';
import { noRestartDue, restartCalledOff, restartPlanned } from './restart.ts';

type OfOtherStreams = EventOf<
  | (typeof provisioningEvents)['vmTypePublished']
  | (typeof provisioningEvents)['vmTypeDeprecated']
  | (typeof provisioningEvents)['imageRegistered']
  | (typeof provisioningEvents)['imageDeleted']
  | (typeof provisioningEvents)['taskReported']
  | (typeof provisioningEvents)['executorAnnounced']
>['type'];
export type VmEvent = Exclude<ProvisioningEvent, { type: OfOtherStreams }>;
export type Requested = EventOf<(typeof provisioningEvents)['vmRequested']>['data'];

export type VmStatus = 'requested' | 'placed' | Desired | 'failed' | 'deleting' | 'deleted';
export type Move = Readonly<{ moveId: string; fromHost: string; toHost: string; fromType: Ref; toType: Ref }>;

/** What is done where it goes off though it is meant to run, and how far that has come. */
export type Restart = Readonly<{
  policy: RestartPolicy;
  /** Starts since it last ran well, or a person acted. */
  attempts: number;
  /** The next start is waited for. */
  due?: Readonly<{ at: string; observed: Readonly<{ state: ObservedState; since: string; cause?: Cause | undefined }> }>;
  /** So many starts did not help: a person has to look. */
  gaveUp?: boolean;
  /** The last action was a start, and failed. */
  startFailed?: boolean;
  /** The last action was a stop, and failed: its guest was asked, and may go off yet. */
  askedOff?: boolean;
}>;

/** The state of one VM's stream. `version` is the stream's, so that a plan made from an older one is seen as outdated. */
export type KnownVm = Readonly<{
  status: VmStatus;
  version: number;
  vmId: string;
  name: string;
  labels: VmLabels;
  tenant: string;
  uuid: string;
  type: Ref;
  spec: VmTypeSpec;
  /** Where its guest is shown less than its type and its hardware both have. */
  shows?: Shows;
  image: Image;
  nics: Requested['nics'];
  /** What its next start boots from, by ids; absent, or empty: as its image has it. What it runs on is in its topology. */
  bootOrder?: string[];
  /** Rises with each switch-over; 0 until the VM is placed. */
  epoch: number;
  /** The highest epoch that an undone move may have shown to a host. */
  spentEpoch: number;
  hostId?: string;
  topology?: Topology;
  topologyHash?: string;
  /** The clock of the host `bootedOn`. */
  bootedAt?: string;
  bootedOn?: string;
  restart: Restart;
  /** What it is meant to do; while an action is under way, what that is to bring about. */
  desired: Desired;
  /** The action under way; it locks the VM as a move does. */
  action?: Readonly<{
    name: VmDoing;
    options: VmActionOptions;
    workflowId: string;
    before: Desired;
    /** Of a change. */ volumeId?: string;
    networkId?: string;
  }>;
  /** Why it could not be provisioned, or the last deletion or action did not come to its end. */
  cause?: Cause;
  move?: Move;
  /** Every move that let go of the VM: a late command of one of them must not take effect. */
  endedMoves: ReadonlySet<string>;
  deletion?: Readonly<{ workflowId: string; before: Desired | 'failed'; volumes?: 'delete' }>;
  operation: string;
}>;
export type Vm = Readonly<{ status: 'unknown'; version: number }> | KnownVm;
export const initialVm: Vm = { status: 'unknown', version: 0 };

export const evolveVm = (vm: Vm, e: VmEvent): Vm => {
  const version = vm.version + 1;
  if (e.type === 'chrysalis.provisioning.vm.requested.v1') return { ...requested(e.data), version };
  if (vm.status === 'unknown') return { ...vm, version };
  return { ...change(vm, e), version };
};

const requested = ({ request, restart = 'never', labels = {}, seed: _, ...data }: Requested): Omit<KnownVm, 'version'> => ({
  ...data,
  labels,
  status: 'requested',
  desired: 'running',
  epoch: 0,
  spentEpoch: 0,
  endedMoves: new Set(),
  restart: { policy: restart, attempts: 0 },
  operation: request.workflowId,
});

const change = (vm: KnownVm, e: Exclude<VmEvent, { type: 'chrysalis.provisioning.vm.requested.v1' }>): KnownVm => {
  switch (e.type) {
    case 'chrysalis.provisioning.vm.placed.v1':
      return { ...vm, status: 'placed', hostId: e.data.hostId, epoch: e.data.epoch };
    case 'chrysalis.provisioning.vm.booted.v1': {
      const { hostId, epoch, topology, topologyHash, at } = e.data;
      return { ...vm, status: 'running', hostId, epoch, topology, topologyHash, bootedAt: at, bootedOn: hostId };
    }
    case 'chrysalis.provisioning.vm.provisioning-failed.v1': {
      const { hostId: _, action: __, ...rest } = vm;
      return { ...rest, status: 'failed', cause: e.data.cause };
    }
    case 'chrysalis.provisioning.vm.topology-changed.v1':
      return { ...vm, topology: e.data.topology, topologyHash: e.data.topologyHash };
    case 'chrysalis.provisioning.vm.move-begun.v1': {
      const { vmId: _, ...move } = e.data;
      return { ...vm, move, restart: noRestartDue(vm.restart) };
    }
    case 'chrysalis.provisioning.vm.switched-over.v1': {
      const { toHost, epoch, topology, topologyHash } = e.data;
      return { ...vm, hostId: toHost, epoch, topology, topologyHash };
    }
    case 'chrysalis.provisioning.vm.type-changed.v1':
      return { ...unhidden(vm), type: e.data.to, spec: e.data.spec, ...(e.data.shows ? { shows: e.data.shows } : {}) };
    case 'chrysalis.provisioning.vm.move-ended.v1': {
      const { move: _, ...rest } = vm;
      return { ...rest, spentEpoch: e.data.spentEpoch ?? vm.spentEpoch, endedMoves: new Set(vm.endedMoves).add(e.data.moveId) };
    }
    case 'chrysalis.provisioning.vm.deletion-requested.v1':
      return deletionRequested(vm, e.data);
    case 'chrysalis.provisioning.vm.deletion-failed.v1': {
      const { deletion, ...rest } = vm;
      return { ...rest, status: deletion?.before ?? 'running', cause: e.data.cause };
    }
    case 'chrysalis.provisioning.vm.action-requested.v1':
      return actionRequested(vm, e.data);
    case 'chrysalis.provisioning.vm.action-ended.v1':
      return actionEnded(vm, e.data);
    case 'chrysalis.provisioning.vm.change-begun.v1':
      return changeBegun(vm, e.data);
    case 'chrysalis.provisioning.vm.change-ended.v1':
      return changeEnded(vm, e.data);
    case 'chrysalis.provisioning.vm.reconfigured.v1':
      return reconfigured(vm, e.data);
    case 'chrysalis.provisioning.vm.restart-policy-set.v1':
      return { ...vm, restart: { ...noRestartDue(vm.restart), policy: e.data.policy, attempts: 0, gaveUp: false } };
    case 'chrysalis.provisioning.vm.restart-planned.v1':
      return { ...vm, restart: restartPlanned(vm.restart, e.data) };
    case 'chrysalis.provisioning.vm.restart-called-off.v1':
      return { ...vm, restart: restartCalledOff(vm.restart, e.data) };
    case 'chrysalis.provisioning.vm.deleted.v1': {
      const { hostId: _, ...rest } = vm;
      return { ...rest, status: 'deleted' };
    }
    default:
      return unreachable(e);
  }
};
