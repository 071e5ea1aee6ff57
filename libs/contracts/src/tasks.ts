import { z } from 'zod';
import { task } from './define.ts';
import { Consumer } from './resource-allocation.ts';
import {
  Amounts,
  Cause,
  Characterisation,
  Count,
  Device,
  GuestFacts,
  HostFacts,
  Id,
  Image,
  ImageFormat,
  Name,
  Nic,
  Positive,
  Ref,
  RefText,
  Sha256,
  StoredFormat,
  Timestamp,
  Topology,
  Uuid,
  VmTypeSpec,
  VolumeName,
} from './shapes.ts';
import { Blocker, MigrationMethod, TemplateOptions } from './migration-templates.ts';

/** Every task of every executor. Each runs at least once and is idempotent by (workflow, task, action, attempt), and by its own target state. */
const none = z.object({});
/** What every command to a host names: the VM, its epoch; the fencing token comes with the dispatch. */
const onVm = { vmId: Id, epoch: Positive };
const shaped = z.object({ topology: Topology, topologyHash: Sha256 });

export const resourceAllocationTasks = {
  place: task(
    'resource-allocation',
    'allocation.place',
    'Choose a host and hold the amounts there for a consumer',
    z.object({
      consumer: Consumer,
      vmId: Id,
      amounts: Amounts,
      cpuModel: z.string(),
      traits: z.array(z.string()),
      networks: z.array(Name),
      pools: z.array(Name),
      machine: z.string().optional(),
      host: Name.optional(),
      notHost: Name.optional(),
    }),
    z.object({ hostId: Name, address: z.string(), generation: Count }),
  ),
  release: task(
    'resource-allocation',
    'allocation.release',
    'End every hold of a consumer',
    z.object({ consumer: Consumer, vmId: Id, reason: z.string() }),
    none,
  ),
  swap: task(
    'resource-allocation',
    'allocation.swap',
    "The move's hold becomes the VM's, and the VM's hold on the source ends, in one commit",
    z.object({ moveId: Id, vmId: Id, fromHost: Name, toHost: Name, amounts: Amounts }),
    none,
  ),
  listOnHost: task(
    'resource-allocation',
    'allocation.list-on-host',
    'The VMs that hold on a host, by id; with `expectEmpty` it fails while anything, also a move, holds there',
    z.object({ hostId: Name, limit: Positive.max(1000).optional(), expectEmpty: z.boolean().optional() }),
    z.object({ vmIds: z.array(Id), more: z.boolean() }),
  ),
  auditHolds: task(
    'resource-allocation',
    'allocation.audit-holds',
    'Holds whose VM or move has ended, or was never heard of. Reports only: nothing is touched',
    z.object({ minAgeMs: Count.optional(), limit: Positive.max(1000).optional() }),
    z.object({
      checked: Count,
      more: z.boolean(),
      findings: z.array(
        z.object({
          consumer: z.string(),
          hostId: Name,
          vmId: Id,
          amounts: Amounts,
          why: z.enum(['owner_ended', 'owner_unknown']),
          since: Timestamp,
          ageMs: Count,
        }),
      ),
    }),
  ),
} as const;

export const provisioningTasks = {
  recordPlacement: task(
    'provisioning',
    'vm.record-placement',
    'Record the host of a new VM',
    z.object({ vmId: Id, hostId: Name }),
    z.object({ epoch: Positive }),
  ),
  recordBoot: task(
    'provisioning',
    'vm.record-boot',
    'Record that the VM runs',
    z.object({ ...onVm, hostId: Name, topology: Topology, topologyHash: Sha256, at: Timestamp }),
    none,
  ),
  beginMove: task(
    'provisioning',
    'vm.begin-move',
    'Lock the VM for one move; refused when it is in a move, or is not at the expected version',
    z.object({ vmId: Id, moveId: Id, fromHost: Name, toHost: Name, fromType: Ref, toType: Ref, expectedVersion: Count.optional() }),
    z.object({ epoch: Positive, newEpoch: Positive, topology: Topology, topologyHash: Sha256 }),
  ),
  endMove: task(
    'provisioning',
    'vm.end-move',
    'Let go of the VM; with success, and in the same commit, it may have become another type',
    z.object({
      vmId: Id,
      moveId: Id,
      outcome: z.enum(['succeeded', 'undone', 'failed']),
      becomes: z.object({ from: Ref, to: Ref, spec: VmTypeSpec }).optional(),
    }),
    none,
  ),
  recordTopology: task(
    'provisioning',
    'vm.record-topology',
    'Record the topology after a plug or unplug',
    z.object({ vmId: Id, topology: Topology, topologyHash: Sha256, reason: z.string() }),
    none,
  ),
  switchOver: task(
    'provisioning',
    'vm.switch-over',
    'Record the new host and the raised epoch',
    z.object({ vmId: Id, moveId: Id, fromHost: Name, toHost: Name, epoch: Positive, topology: Topology, topologyHash: Sha256 }),
    none,
  ),
  changeType: task(
    'provisioning',
    'vm.change-type',
    'Record the new type',
    z.object({
      vmId: Id,
      moveId: Id,
      from: Ref,
      to: Ref,
      spec: VmTypeSpec,
      topology: Topology.optional(),
      topologyHash: Sha256.optional(),
    }),
    none,
  ),
  listOfType: task(
    'provisioning',
    'vm.list-of-type',
    "The tenant's VMs that are pinned to a version of a type, by id; with `expectNone` it fails while there is one",
    z.object({ type: RefText, limit: Positive.max(1000).optional(), expectNone: z.boolean().optional() }),
    z.object({ vmIds: z.array(Id), more: z.boolean() }),
  ),
  recordDeleted: task('provisioning', 'vm.record-deleted', 'Record that the VM is gone', z.object({ vmId: Id }), none),
  failProvisioning: task(
    'provisioning',
    'vm.fail-provisioning',
    'Compensation of a placement: the VM failed to come up',
    z.object({ vmId: Id }),
    none,
  ),
} as const;

/**
 * What became of one VM of a run. `unneeded`: it was so already. `blocked`: see `blockers`. `not-begun`: the run stopped before it, see
 * `cause`. The others are the end of its move.
 */
export const RunResult = z.object({
  vmId: Id,
  state: z.enum(['succeeded', 'undone', 'failed', 'blocked', 'unneeded', 'not-begun']),
  migrationId: Id.optional(),
  toHost: Name.optional(),
  cause: Cause.optional(),
  blockers: z.array(Blocker).optional(),
});
export type RunResult = z.infer<typeof RunResult>;

export const migrationTemplatesTasks = {
  recordCharacterisation: task(
    'migration-templates',
    'template.record-characterisation',
    'Keep what was found in a guest',
    z.object({ vmId: Id, characterisation: Characterisation }),
    none,
  ),
  answerOptions: task(
    'migration-templates',
    'template.answer-options',
    'Work out the options of a query from what is known now',
    z.object({ queryId: Id }),
    none,
  ),
  checkBlockers: task(
    'migration-templates',
    'template.check-blockers',
    'Fail with every blocker that the preflights of a move found; without any, let the move go on',
    z.object({ vmId: Id, ends: z.array(z.object({ role: z.enum(['source', 'target']), blockers: z.array(Blocker) })).max(2) }),
    none,
  ),
  /**
   * By `template`; else made for each VM: to `toType` (in place, or with `move` on another host), or without one its own type on another
   * host. Reports when every move has ended. After `maxFailures` moves that did not succeed (5 unless told) no further one begins.
   */
  run: task(
    'migration-templates',
    'migration.run',
    'Plan a migration over a set of VMs and run it: who is blocked is named, the others go',
    z.object({
      template: RefText.optional(),
      toType: RefText.optional(),
      move: z.boolean().optional(),
      vmIds: z.array(Id).max(1000),
      concurrency: Positive.max(100),
      notHost: Name.optional(),
      maxFailures: Positive.max(1000).optional(),
    }),
    z.object({ total: Count, succeeded: Count, results: z.array(RunResult) }),
  ),
} as const;

/** Where the agent disk and port go; the digest must be one that the grant names. */
export const AgentPlacement = z.object({ package: Sha256, diskPort: Count.optional(), serialNr: Positive.optional() });

/** `bytes`: of the file, which has this digest; `sizeMiB`: of the disk that a guest sees, of a save file the VM's memory. */
const storedImage = z.object({ hostId: Name, image: Name, format: StoredFormat, sizeMiB: Positive, bytes: Count, digest: Sha256 });

/** Executor `host:<hostId>`. Topologies returned are the VM's whole hardware after the step, as QEMU shows it. */
export const hostTasks = {
  bootVm: task(
    'agent-gateway',
    'host.boot-vm',
    'Make the volumes and start the VM; done when QEMU runs it and the guest answers',
    z.object({
      ...onVm,
      uuid: Uuid,
      tenant: Name,
      spec: VmTypeSpec,
      image: Image,
      nics: z.array(Nic.omit({ port: true })),
      pool: Name,
      waitForGuest: z.boolean(),
    }),
    shaped.extend({ bootedAt: Timestamp }),
  ),
  destroyVm: task(
    'agent-gateway',
    'host.destroy-vm',
    'End the QEMU process and delete its volumes',
    z.object({ ...onVm, deleteVolumes: z.boolean() }),
    none,
  ),
  preflight: task(
    'agent-gateway',
    'host.preflight',
    'Check this end of a move; answers with every blocker at once and changes nothing',
    z.object({ ...onVm, role: z.enum(['source', 'target']), topology: Topology, topologyHash: Sha256, targetSpec: VmTypeSpec }),
    z.object({ blockers: z.array(Blocker), facts: HostFacts }),
  ),
  plug: task('agent-gateway', 'host.plug', 'Plug a device', z.object({ ...onVm, device: Device }), shaped),
  unplug: task(
    'agent-gateway',
    'host.unplug',
    'Unplug a device; done when the guest let it go',
    z.object({ ...onVm, device: z.object({ kind: z.enum(['cpu', 'memory', 'disk', 'nic']), id: Name }) }),
    shaped,
  ),
  resizeDisk: task(
    'agent-gateway',
    'host.resize-disk',
    'Grow a disk while the VM runs; shrinking is refused',
    z.object({ ...onVm, disk: Name, sizeMiB: Positive }),
    shaped,
  ),
  prepareTarget: task(
    'agent-gateway',
    'host.prepare-target',
    'Start a paused QEMU with exactly this topology that waits for the incoming stream; epoch is the new one',
    z.object({ ...onVm, moveId: Id, tenant: Name, topology: Topology, topologyHash: Sha256 }),
    z.object({ migrationAddress: z.string(), peerAddress: z.string(), peerToken: z.string() }),
  ),
  discardTarget: task(
    'agent-gateway',
    'host.discard-target',
    'End the waiting QEMU of a move that did not switch over',
    z.object({ ...onVm, moveId: Id }),
    none,
  ),
  transfer: task(
    'agent-gateway',
    'host.transfer',
    'Move the running state; done when the source is fenced and the target was seen running; on failure the source runs',
    z.object({
      ...onVm,
      newEpoch: Positive,
      moveId: Id,
      method: MigrationMethod,
      migrationAddress: z.string(),
      peerAddress: z.string(),
      peerToken: z.string(),
      downtimeLimitMs: TemplateOptions.shape.downtimeLimitMs,
      maxBandwidthMiBps: TemplateOptions.shape.maxBandwidthMiBps,
    }),
    z.object({ downtimeMs: z.number(), totalMs: z.number(), transferredBytes: Count, stoppedAt: Timestamp, resumedAt: Timestamp }),
  ),
  confirmTarget: task(
    'agent-gateway',
    'host.confirm-target',
    'The target runs this VM at this epoch with this topology',
    z.object({ ...onVm, moveId: Id, topologyHash: Sha256 }),
    shaped,
  ),
  releaseSource: task(
    'agent-gateway',
    'host.release-source',
    'End the fenced QEMU of the source; epoch is the old one',
    z.object({ ...onVm, moveId: Id }),
    none,
  ),
  addAgent: task(
    'agent-gateway',
    'host.add-agent',
    'Add the migration agent to the running VM under a grant',
    z.object({ ...onVm, grant: z.string().max(16_384), package: Sha256 }),
    shaped.extend({ agentVersion: z.string() }),
  ),
  removeAgent: task(
    'agent-gateway',
    'host.remove-agent',
    'Take the migration agent out again, without trace',
    z.object({ ...onVm }),
    shaped,
  ),
  buildImage: task(
    'agent-gateway',
    'host.build-image',
    "Make a disk image in the host's image store, blank or from an image or volume of the host; one of that name and shape that is there is the answer",
    z.object({
      image: Name,
      format: ImageFormat,
      sizeMiB: Positive.max(1_048_576),
      from: z
        .discriminatedUnion('kind', [
          z.object({ kind: z.literal('image'), image: Name }),
          z.object({ kind: z.literal('volume'), pool: Name, volume: VolumeName, format: ImageFormat }),
        ])
        .optional(),
    }),
    storedImage,
  ),
  transferImage: task(
    'agent-gateway',
    'host.transfer-image',
    'Fetch an image from another host, directly; whole and of this digest, or not there at all',
    z.object({
      image: Name,
      digest: Sha256,
      fromHost: Name,
      /** One more copy, so not where there is one: `host.image_not_elsewhere`, to be tried at another host. */
      elsewhere: z.boolean().optional(),
    }),
    storedImage,
  ),
  removeImage: task(
    'agent-gateway',
    'host.remove-image',
    "Delete an image from the host's image store; as an undo only what this workflow put there",
    z.object({ image: Name, digest: Sha256.optional() }),
    z.object({ removed: z.boolean() }),
  ),
  saveVm: task(
    'agent-gateway',
    'host.save-vm',
    "Write what the running VM has in memory and devices to a save file in the host's image store; the VM runs on, on every failure too",
    z.object({
      ...onVm,
      name: Name,
      /** A guest that stands still for longer runs on, and the save has failed; 5 s unless told. */
      maxPauseMs: Positive.max(600_000).optional(),
    }),
    storedImage.extend({
      vmId: Id,
      topologyHash: Sha256,
      /** How long the guest stood still, by the hypervisor's clock. */
      pausedMs: z.number().nonnegative(),
      /** The moment that was saved. */
      stoppedAt: Timestamp,
    }),
  ),
} as const;

/** Relayed by the host agent to the migration agent in the guest; executor `host:<hostId>` of the host that runs the VM. */
export const guestTasks = {
  characterise: task(
    'agent-gateway',
    'guest.characterise',
    'Detect what the guest can do, with evidence',
    z.object({ ...onVm }),
    z.object({ characterisation: Characterisation }),
  ),
  facts: task('agent-gateway', 'guest.facts', 'Read the facts', z.object({ ...onVm }), z.object({ facts: GuestFacts })),
  onlineCpus: task(
    'agent-gateway',
    'guest.online-cpus',
    'Bring plugged CPUs online; fails unless all of them come',
    z.object({ ...onVm, vcpus: Positive }),
    z.object({ online: Count }),
  ),
  offlineCpus: task(
    'agent-gateway',
    'guest.offline-cpus',
    'Take CPUs offline, the highest first',
    z.object({ ...onVm, vcpus: Positive }),
    z.object({ online: Count }),
  ),
  onlineMemory: task(
    'agent-gateway',
    'guest.online-memory',
    'Bring plugged memory blocks online',
    z.object({ ...onVm, memoryMiB: Positive }),
    z.object({ onlineMiB: Count }),
  ),
  growFileSystem: task(
    'agent-gateway',
    'guest.grow-filesystem',
    'Grow the file system to its disk',
    z.object({ ...onVm, disk: Name }),
    z.object({ beforeBytes: Count, afterBytes: Count }),
  ),
  runScript: task(
    'agent-gateway',
    'guest.run-script',
    'Run a script with limits of time, output and privilege',
    z.object({ ...onVm, script: z.string().max(65_536), timeoutMs: Positive.max(600_000), maxOutputBytes: Positive.max(65_536) }),
    z.object({ exitCode: z.int(), stdout: z.string(), stderr: z.string(), truncated: z.boolean(), ms: z.number() }),
  ),
  verify: task(
    'agent-gateway',
    'guest.verify',
    'Delivered, not requested: the guest has exactly this',
    z.object({
      ...onVm,
      expect: z.object({
        bootId: z.string().optional(),
        vcpus: Positive.optional(),
        memoryMiB: Positive.optional(),
        disks: z.array(z.object({ serial: z.string(), minBytes: Count })).optional(),
        macs: z.array(z.string()).optional(),
      }),
    }),
    z.object({ facts: GuestFacts }),
  ),
} as const;

export const allTasks = { ...resourceAllocationTasks, ...provisioningTasks, ...migrationTemplatesTasks, ...hostTasks, ...guestTasks };
