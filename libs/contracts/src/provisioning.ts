import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { executorAnnounced } from './executors.ts';
import { Observed } from './observed.ts';
import { Shows } from './pending.ts';
import {
  BootOrder,
  Cause,
  Count,
  Id,
  Image,
  VmLabels,
  Name,
  Nic,
  Positive,
  Ref,
  Seed,
  Sha256,
  Timestamp,
  Topology,
  Uuid,
  Version,
  VmTypeSpec,
} from './shapes.ts';
import { taskReported } from './task-execution.ts';
import { WorkflowRequest } from './workflow.ts';

export const vmActions = ['start', 'stop', 'reboot', 'reset', 'pause', 'resume'] as const;
export const VmAction = z.enum(vmActions);
export type VmAction = z.infer<typeof VmAction>;
/** What is done to a VM's hardware on request; it locks the VM as an action does. */
export const volumeChanges = ['attach-volume', 'detach-volume', 'grow-volume'] as const;
export const nicChanges = ['attach-nic', 'detach-nic'] as const;
export const addressChanges = ['bind-address', 'unbind-address'] as const;
export const vmChanges = [...volumeChanges, ...addressChanges, 'set-filter', ...nicChanges] as const;
export const VmChange = z.enum(vmChanges);
export type VmChange = z.infer<typeof VmChange>;
/** What may be under way with a VM. */
export const VmDoing = z.enum([...vmActions, ...vmChanges]);
export type VmDoing = z.infer<typeof VmDoing>;
/** What a VM is meant to do, beside what it is seen to do (`Observed`). */
export const Desired = z.enum(['running', 'stopped', 'paused']);
export type Desired = z.infer<typeof Desired>;
/** What a VM is meant to do once an action has come to its end. */
export const desiredBy: Readonly<Record<VmAction, Desired>> = {
  start: 'running',
  stop: 'stopped',
  reboot: 'running',
  reset: 'running',
  pause: 'paused',
  resume: 'running',
};
/** `force`: where the guest does not do it by itself, its power or its reset button does. `timeoutMs`: how long each way that asks it is given. */
export const VmActionOptions = z.object({ force: z.boolean().optional(), timeoutMs: Positive.max(3_600_000).optional() });
export type VmActionOptions = z.infer<typeof VmActionOptions>;
/** By whose doing a VM went off or began anew; the last two lose what the guest had not written to its disks. */
export const ActionHow = z.enum(['guest-agent', 'acpi', 'power-off', 'reset']);
export type ActionHow = z.infer<typeof ActionHow>;

/** What is done where a VM goes off though it is meant to run. A guest that shuts itself down in order is no failure. */
export const restartPolicies = ['never', 'on-failure', 'always'] as const;
export const RestartPolicy = z.enum(restartPolicies);
export type RestartPolicy = z.infer<typeof RestartPolicy>;
/** What was seen, and led to a restart. */
const SeenOff = Observed.pick({ state: true, since: true, cause: true });

/** An action that no person asked for: the how manieth start in a row, and after what. */
const ByPolicy = z.object({ attempt: Positive, observed: SeenOff });

/** Streams: `vm-type-<name>`, `image-<name>`, `vm-<id>`, `task-<workflowId>`. An event that carries `request` starts that workflow. */
export const provisioningEvents = {
  vmTypePublished: event(
    'chrysalis.provisioning.vm-type.published.v1',
    'A version of a VM type was published',
    z.object({ name: Name, version: Positive, spec: VmTypeSpec }),
  ),
  vmTypeDeprecated: event(
    'chrysalis.provisioning.vm-type.deprecated.v1',
    'A version of a VM type takes no new VMs; those that are of it are to leave it',
    z.object({ name: Name, version: Positive, reason: z.string().max(255), replacement: Ref.optional() }),
  ),
  imageRegistered: event('chrysalis.provisioning.image.registered.v1', 'A version of an image was registered', z.object({ image: Image })),
  imageDeleted: event(
    'chrysalis.provisioning.image.deleted.v1',
    'Nothing is made of this version of an image any more; its number is not given to another content',
    z.object({ name: Name, version: Version, digest: Sha256 }),
  ),
  vmRequested: event(
    'chrysalis.provisioning.vm.requested.v1',
    'A tenant asked for a VM; its type is pinned to a version',
    z.object({
      vmId: Id,
      name: Name,
      tenant: Name,
      uuid: Uuid,
      type: Ref,
      spec: VmTypeSpec,
      image: Image,
      nics: z.array(Nic.omit({ port: true })),
      /** Absent: never. */
      restart: RestartPolicy.optional(),
      seed: Seed.optional(),
      labels: VmLabels.optional(),
      request: WorkflowRequest,
    }),
  ),
  vmPlaced: event(
    'chrysalis.provisioning.vm.placed.v1',
    'A host was chosen and holds the VM',
    z.object({ vmId: Id, hostId: Name, epoch: Positive }),
  ),
  vmBooted: event(
    'chrysalis.provisioning.vm.booted.v1',
    'The VM runs on its host',
    z.object({ vmId: Id, hostId: Name, epoch: Positive, topology: Topology, topologyHash: Sha256, at: Timestamp }),
  ),
  vmProvisioningFailed: event(
    'chrysalis.provisioning.vm.provisioning-failed.v1',
    'The VM could not be provisioned; nothing is held',
    z.object({ vmId: Id, cause: Cause }),
  ),
  vmTopologyChanged: event(
    'chrysalis.provisioning.vm.topology-changed.v1',
    'A device was plugged or unplugged, or a disk resized',
    z.object({ vmId: Id, topology: Topology, topologyHash: Sha256, reason: z.string().max(255) }),
  ),
  vmMoveBegun: event(
    'chrysalis.provisioning.vm.move-begun.v1',
    'The VM is locked for one move',
    z.object({ vmId: Id, moveId: Id, fromHost: Name, toHost: Name, fromType: Ref, toType: Ref }),
  ),
  vmSwitchedOver: event(
    'chrysalis.provisioning.vm.switched-over.v1',
    'The VM runs on its new host; the epoch rose',
    z.object({ vmId: Id, moveId: Id, fromHost: Name, toHost: Name, epoch: Positive, topology: Topology, topologyHash: Sha256 }),
  ),
  vmTypeChanged: event(
    'chrysalis.provisioning.vm.type-changed.v1',
    'The VM has a new type',
    /** `shows`: absent where the guest is shown all that its hardware has of the type. */
    z.object({ vmId: Id, from: Ref, to: Ref, spec: VmTypeSpec, shows: Shows.optional() }),
  ),
  vmMoveEnded: event(
    'chrysalis.provisioning.vm.move-ended.v1',
    'The move let go of the VM',
    /** `spentEpoch`: after an undone move, the highest epoch that a host may have been shown. No later move offers it again. */
    z.object({ vmId: Id, moveId: Id, outcome: z.enum(['succeeded', 'undone', 'failed']), spentEpoch: Positive.optional() }),
  ),
  vmDeletionRequested: event(
    'chrysalis.provisioning.vm.deletion-requested.v1',
    'A tenant asked to delete the VM',
    z.object({
      vmId: Id,
      request: WorkflowRequest,
      /** What becomes of attached volumes; absent: they stay. */
      volumes: z.literal('delete').optional(),
    }),
  ),
  vmDeletionFailed: event(
    'chrysalis.provisioning.vm.deletion-failed.v1',
    'The deletion did not come to its end; the VM is as it was before, and may be deleted again',
    z.object({ vmId: Id, workflowId: Id, cause: Cause }),
  ),
  vmActionRequested: event(
    'chrysalis.provisioning.vm.action-requested.v1',
    'The VM is to be started, stopped, restarted, paused or continued; it is locked until that has ended',
    z.object({ vmId: Id, action: VmAction, options: VmActionOptions, request: WorkflowRequest, restart: ByPolicy.optional() }),
  ),
  vmActionEnded: event(
    'chrysalis.provisioning.vm.action-ended.v1',
    'An action has ended; after a failed one the VM is meant to be as it was before',
    z.object({
      vmId: Id,
      workflowId: Id,
      action: VmAction,
      outcome: z.enum(['succeeded', 'failed']),
      how: ActionHow.optional(),
      /** The host's clock. */
      at: Timestamp.optional(),
      cause: Cause.optional(),
      /** After a start: the hardware it came up with. */
      topology: Topology.optional(),
      topologyHash: Sha256.optional(),
    }),
  ),
  vmChangeBegun: event(
    'chrysalis.provisioning.vm.change-begun.v1',
    'A volume is to be attached, detached or grown, a NIC is to come or go, or what may come in from networks is to be other; the VM is locked until that has ended',
    z.object({
      vmId: Id,
      change: VmChange,
      volumeId: Id.optional(),
      networkId: Id.optional(),
      request: WorkflowRequest.optional(),
      workflowId: Id,
    }),
  ),
  vmChangeEnded: event(
    'chrysalis.provisioning.vm.change-ended.v1',
    'What was done to the VM’s hardware has ended; the topology is what it has now, absent where nothing changed',
    z.object({
      vmId: Id,
      change: VmChange,
      volumeId: Id.optional(),
      networkId: Id.optional(),
      workflowId: Id,
      outcome: z.enum(['succeeded', 'failed']),
      cause: Cause.optional(),
      topology: Topology.optional(),
      topologyHash: Sha256.optional(),
    }),
  ),
  vmReconfigured: event(
    'chrysalis.provisioning.vm.reconfigured.v1',
    'The VM is called otherwise, has other labels, or boots otherwise from its next start on; nothing of its hardware changed',
    z.object({
      vmId: Id,
      bootOrder: BootOrder.optional(),
      name: Name.optional(),
      labels: VmLabels.optional().describe('all that it has now'),
    }),
  ),
  vmRestartPolicySet: event(
    'chrysalis.provisioning.vm.restart-policy-set.v1',
    'What is done where the VM goes off though it is meant to run was changed',
    z.object({ vmId: Id, policy: RestartPolicy }),
  ),
  vmRestartPlanned: event(
    'chrysalis.provisioning.vm.restart-planned.v1',
    'The VM went off though it is meant to run; it is to be started again at `dueAt`',
    z.object({ vmId: Id, hostId: Name, attempt: Positive, dueAt: Timestamp, observed: SeenOff }),
  ),
  vmRestartCalledOff: event(
    'chrysalis.provisioning.vm.restart-called-off.v1',
    'The VM is not started by its policy: it runs again by itself, or as many starts as are tried did not help',
    z.object({ vmId: Id, attempts: Count, reason: z.enum(['limit', 'runs']) }),
  ),
  taskReported: taskReported('provisioning'),
  executorAnnounced: executorAnnounced('provisioning'),
  vmDeleted: event('chrysalis.provisioning.vm.deleted.v1', 'The VM is gone; nothing is held', z.object({ vmId: Id })),
} as const;
export type ProvisioningEvent = EventsOf<typeof provisioningEvents>;
