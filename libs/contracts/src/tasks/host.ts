import { z } from 'zod';
import { task } from '../define.ts';
import { Blocker, MigrationMethod, TemplateOptions } from '../migration-templates.ts';
import { PoolAllocation } from '../pools.ts';
import { ActionHow } from '../provisioning.ts';
import {
  BootOrder,
  Cause,
  Count,
  Device,
  HostFacts,
  Id,
  Image,
  ImageFormat,
  Name,
  Nic,
  PoolId,
  Positive,
  Seed,
  Sha256,
  StoredFormat,
  Timestamp,
  Topology,
  Uuid,
  VmTypeSpec,
  VolumeName,
} from '../shapes.ts';
import { FilterRules } from '../segment.ts';
import { Erased, OtherTraces, Trace, VmTraces } from '../traces.ts';
import { none, onVm, shaped } from './common.ts';

/** `bytes`: of the file, which has this digest; `sizeMiB`: of the disk that a guest sees, of a save file the VM's memory. */
const storedImage = z.object({ hostId: Name, image: Name, format: StoredFormat, sizeMiB: Positive, bytes: Count, digest: Sha256 });

/** What is plugged at a target while its guest stands still, and how long that may take. */
export const StoppedWork = z.object({ devices: z.array(Device).max(64), withinMs: Positive.max(30_000) });
export type StoppedWork = z.infer<typeof StoppedWork>;

/** `how` is absent where it was so already. */
const acted = z.object({ at: Timestamp, how: ActionHow.optional() });

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
      allocation: PoolAllocation.optional(),
      waitForGuest: z.boolean(),
      seed: Seed.optional(),
    }),
    shaped.extend({ bootedAt: Timestamp }),
  ),
  setFilter: task(
    'agent-gateway',
    'host.set-filter',
    'Let this, and no more, in to a VM from its networks, running or off; what is so already is done',
    z.object({ ...onVm, allow: FilterRules }),
    shaped,
  ),
  attachNic: task(
    'agent-gateway',
    'host.attach-nic',
    'Give a VM a NIC on a network that spans hosts, running or off, and see it in the guest; what is so already is done',
    z.object({ ...onVm, nic: Nic.omit({ port: true }) }),
    /** `seen`: the guest shows it; absent: there is nobody in it to ask, or it is off. */
    shaped.extend({ seen: z.literal(true).optional() }),
  ),
  detachNic: task(
    'agent-gateway',
    'host.detach-nic',
    'Take a NIC from a VM, running or off; done when the guest let it go',
    z.object({ ...onVm, nic: Name }),
    shaped,
  ),
  destroyVm: task(
    'agent-gateway',
    'host.destroy-vm',
    'End the QEMU process and delete its volumes',
    z.object({ ...onVm, deleteVolumes: z.boolean() }),
    none,
  ),
  stopVm: task(
    'agent-gateway',
    'host.stop-vm',
    'Have the guest shut down, or end it; done when its process is gone. Its volumes and its hardware stay for a start',
    z.object({
      ...onVm,
      /** Tried in this order; that a guest does not do as it is asked is known after `timeoutMs`. */
      modes: z.array(ActionHow.extract(['guest-agent', 'acpi', 'power-off'])).min(1),
      timeoutMs: Positive,
    }),
    acted,
  ),
  startVm: task(
    'agent-gateway',
    'host.start-vm',
    'Start a VM that was stopped, with the hardware it had; done when it runs and the guest answers',
    /** `bootOrder`: what it is to boot from now; absent: as it did. `vcpus`: those beyond go from its hardware; absent: none does. */
    z.object({ ...onVm, bootOrder: BootOrder.optional(), vcpus: Positive.max(64).optional() }),
    shaped.extend({ at: Timestamp }),
  ),
  rebootVm: task(
    'agent-gateway',
    'host.reboot-vm',
    'Have the guest restart; done when it answers again',
    z.object({ ...onVm, modes: z.array(ActionHow.extract(['guest-agent', 'reset'])).min(1), timeoutMs: Positive }),
    acted,
  ),
  resetVm: task('agent-gateway', 'host.reset-vm', 'Reset the VM, as its button does', z.object({ ...onVm }), acted),
  pauseVm: task('agent-gateway', 'host.pause-vm', 'Stop the CPUs of the VM; its memory stays', z.object({ ...onVm }), acted),
  resumeVm: task('agent-gateway', 'host.resume-vm', 'Let the CPUs of a paused VM run on', z.object({ ...onVm }), acted),
  preflight: task(
    'agent-gateway',
    'host.preflight',
    'Check this end of a move; answers with every blocker at once and changes nothing',
    z.object({
      ...onVm,
      role: z.enum(['source', 'target']),
      topology: Topology,
      topologyHash: Sha256,
      targetSpec: VmTypeSpec,
      /** Of the source: whether the agent in the guest is to be asked; `needed`: one that is not there is a blocker. */
      guest: z.enum(['needed', 'wanted']).optional(),
    }),
    z.object({
      blockers: z.array(Blocker),
      facts: HostFacts,
      /** Whether an agent in the guest has its port open; absent where nobody asked. */
      agent: z.enum(['there', 'away']).optional(),
    }),
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
    'Start a paused QEMU with exactly this topology that waits for the incoming stream, or see that one starts; epoch is the new one',
    z.object({
      ...onVm,
      moveId: Id,
      tenant: Name,
      topology: Topology,
      topologyHash: Sha256,
      /** It is to begin anew: that this host can start it is seen, and nothing waits. */
      cold: z.literal(true).optional(),
      /** Its state comes as a file, within that time: nothing is listened for. */
      restores: z.object({ withinMs: Positive }).optional(),
      /** It may run here before all of its memory is. */
      postCopy: z.literal(true).optional(),
      /** Over so many connections its memory comes, as the source sends it. */
      streams: TemplateOptions.shape.streams,
      /** Made anew at the target and filled by the source while the guest runs, for at most so long. */
      copies: z
        .object({ volumes: z.array(VolumeName).min(1).max(32), allocation: PoolAllocation.optional(), withinMs: Positive })
        .optional(),
      /** Plugged when the stream is in and the guest stands still; what does not come in time is the end of this target. */
      stopped: StoppedWork.optional(),
      /** Its place is announced by `host.announce`, and after so long in any case; absent: at once. */
      announceWithinMs: Positive.max(60_000).optional(),
      /** Its transfer may wait for so long until somebody approves it, and then come anew. */
      approvalWithinMs: Positive.max(43_200_000).optional(),
    }),
    z.object({
      migrationAddress: z.string(),
      peerAddress: z.string(),
      peerToken: z.string(),
      /** Where disks are copied to, where some are. */
      copyAddress: z.string().optional(),
    }),
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
    'Move the running state, or shut the guest down here and start it there; done when the source is fenced and the target was seen running; on failure the source runs',
    z.object({
      ...onVm,
      newEpoch: Positive,
      moveId: Id,
      method: MigrationMethod,
      migrationAddress: z.string(),
      peerAddress: z.string(),
      peerToken: z.string(),
      /** The target has work to do while the guest stands still: it is asked for that before the fence, and waited for so long. */
      stoppedWithinMs: Positive.max(30_000).optional(),
      /** It does not switch over before `host.settle-approval` says that it may. */
      awaitsApproval: z.literal(true).optional(),
      downtimeLimitMs: TemplateOptions.shape.downtimeLimitMs,
      maxBandwidthMiBps: TemplateOptions.shape.maxBandwidthMiBps,
      streams: TemplateOptions.shape.streams,
      throttle: TemplateOptions.shape.throttle,
      /** Of save-and-restore: the pool, which both ends see, that its state is written to; `mapped`: both have `mapped-ram`. */
      saveTo: z.object({ pool: Name, mapped: z.literal(true).optional() }).optional(),
      /** Of a restart: how the guest is brought to shut down, as in `host.stop-vm`. */
      shutDown: z
        .object({ modes: z.array(ActionHow.extract(['guest-agent', 'acpi', 'power-off'])).min(1), timeoutMs: Positive })
        .optional(),
      /** Of a post-copy: after how many passes over its memory the guest is the target's. There is no way back from there. */
      postCopy: z.object({ afterPasses: Positive.max(100) }).optional(),
      /** Volumes that are copied first: they are where the target does not see them. */
      copies: z.object({ volumes: z.array(VolumeName).min(1).max(32), address: z.string() }).optional(),
    }),
    z.object({ downtimeMs: z.number(), totalMs: z.number(), transferredBytes: Count, stoppedAt: Timestamp, resumedAt: Timestamp }),
  ),
  awaitMemory: task(
    'agent-gateway',
    'host.await-memory',
    'Of a post-copy: done when the target has all of the memory, which the source sends over every cut; epoch is the old one',
    z.object({ ...onVm, moveId: Id, /** For longer it may not be cut off. What is sent then goes on. */ recoverWithinMs: Positive }),
    z.object({ wholeAt: Timestamp }),
  ),
  settleApproval: task(
    'agent-gateway',
    'host.settle-approval',
    'Tell the transfer of a move whether it may switch over, once and for all; one that may not fails with that cause',
    z.object({
      ...onVm,
      moveId: Id,
      approved: z.boolean(),
      cause: Cause.optional(),
    }),
    none,
  ),
  confirmTarget: task(
    'agent-gateway',
    'host.confirm-target',
    'The target runs this VM at this epoch with this topology',
    z.object({
      ...onVm,
      moveId: Id,
      topologyHash: Sha256,
      /** It began anew: done when its guest is up. */ booted: z.literal(true).optional(),
    }),
    shaped,
  ),
  announce: task(
    'agent-gateway',
    'host.announce',
    'Tell the network where the VM is now, which the host was to hold back; what was announced already is done',
    z.object({ ...onVm, moveId: Id }),
    z.object({ announcedAt: Timestamp, /** Nobody asked in time: the host did it by itself. */ late: z.boolean() }),
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
  listTraces: task(
    'agent-gateway',
    'host.list-traces',
    'What the host has of VMs, volumes and networks, by marks that say whose it is, and the VMs that its agent knows; changes nothing',
    z.object({ /** What is younger is told as busy; 5 minutes unless told. */ minAgeMs: Count.optional() }),
    z.object({
      traces: z.array(Trace),
      /** That run or are off here, by the agent's word. */
      vms: z.array(Id),
      pools: z.array(z.object({ name: Name, poolId: PoolId.optional(), shared: z.boolean() })),
      /** There are more traces or VMs than one answer has room for. */
      more: z.boolean(),
    }),
  ),
  removeVmTraces: task(
    'agent-gateway',
    'host.remove-vm-traces',
    'Take away what was judged to be left of a VM, looked at once more; what changed since, or is in use, stays',
    z.object({ ...onVm, traces: VmTraces.shape.traces }),
    z.object({ results: z.array(Erased) }),
  ),
  removeTraces: task(
    'agent-gateway',
    'host.remove-traces',
    'The same of a volume or a network',
    OtherTraces,
    z.object({ results: z.array(Erased) }),
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
