import type { Duplex } from 'node:stream';
import type {
  Device,
  Disk,
  FilterRule,
  HostFacts,
  Image,
  MigrationMethod,
  Nic,
  Erased,
  PoolAllocation,
  SegmentPart,
  SerialPort,
  Topology,
  Trace,
  VmTypeSpec,
} from '@chrysalis/contracts';
import type { z } from 'zod';
import type { GuestReading, LifecycleEvent } from './lifecycle.ts';
import type { GuestConsole } from './console.ts';
import type { SimulatedGuest } from './simulated/guest.ts';

/** The whole hardware of a VM after a step, as the hypervisor shows it, and its hash. */
export type Shaped = { readonly topology: Topology; readonly topologyHash: string };
export type SerialPortSpec = z.infer<typeof SerialPort>;
export type DeviceRef = { readonly kind: Device['kind']; readonly id: string };

/** What the driver knows of its host; the host agent adds name, place, traits and inventory. */
export type DriverFacts = Pick<
  HostFacts,
  | 'driver'
  | 'accelerator'
  | 'hypervisorVersion'
  | 'cpuModels'
  | 'machineTypes'
  | 'storagePools'
  | 'networks'
  | 'segments'
  | 'firmware'
  | 'mappedRam'
> & {
  /** Models this host cannot give, and the CPU features it lacks for each. */
  readonly cpuBlockers: Readonly<Record<string, readonly string[]>>;
  /** False where the hypervisor does not come whole through the unplug of a CPU (`hypervisor.unplug_unsafe`). */
  readonly cpuHotUnplug: boolean;
  /** Of migration, that it has a part in. */
  readonly methods: MigrationMethod[];
};

export type BootSpec = {
  readonly vmId: string;
  readonly uuid: string;
  readonly spec: VmTypeSpec;
  readonly image: Image;
  readonly nics: readonly Omit<z.infer<typeof Nic>, 'port'>[];
  readonly pool: string;
  /** A versioned machine type; the newest q35 that every host of ours has by default. */
  readonly machine?: string;
  /** A raw disk of whole MiB, read-only, for the first boot: copied. A start after a halt is without it. */
  readonly seed?: { readonly file: string; readonly sizeMiB: number };
  /** How the files of its disks are made; absent: thin. */
  readonly allocation?: PoolAllocation | undefined;
  /** Ends the making of its root disk, which may take minutes. */
  readonly signal?: AbortSignal;
};

/** `network`: the id of a NIC on a segment. */
export type FurtherAddress = { readonly network: string; readonly address: string; readonly has: boolean };

export type VolumeSpec = Pick<Disk, 'pool' | 'volume' | 'format' | 'sizeMiB'>;
/** `from`: what it is a copy of: an image of this host's, or a volume that nobody writes to. */
export type NewVolume = VolumeSpec & {
  readonly allocation?: PoolAllocation | undefined;
  readonly from?:
    { readonly kind: 'image'; readonly image: Image } | { readonly kind: 'volume'; readonly pool: string; readonly volume: string };
  readonly signal?: AbortSignal;
};
/** `shared`: other hosts see its pool too. `bytes`: of the pool that it takes now. */
export type VolumeMade = { readonly shared: boolean; readonly bytes: number };

/**
 * `runner`: was booted or resumed here. `incoming`: waits for a stream, or has it and is paused.
 * `state` is QEMU's own word (`running`, `paused`, `inmigrate`, `postmigrate`, `shutdown`, ...), or `gone`: no process; `halted`: no
 * process, as it was told; `prepared`: none yet, `resume` starts one.
 */
export type VmStatus = {
  readonly vmId: string;
  readonly role: 'runner' | 'incoming';
  readonly state: string;
  readonly running: boolean;
  readonly migrating: boolean;
  readonly topology: Topology;
  readonly topologyHash: string;
  readonly pid?: number;
  /** Last lines of a QEMU that is gone. */
  readonly lastWords?: string;
  /**
   * What a runner is seen to be, and why; also of a VM whose process is gone, as far as its last words tell. Absent where a migration
   * or a save has its hands on it, where it is being ended, and where the hypervisor does not answer.
   */
  readonly observed?: GuestReading;
};

export type MigrationProgress = {
  readonly phase: string;
  readonly bytesTotal: number;
  readonly bytesRemaining: number;
  readonly bytesTransferred: number;
  readonly dirtyPagesPerSecond: number;
  readonly mbps: number;
  /** Wall clock, ISO 8601. */
  readonly at: string;
};

/** Own volumes of a VM, by their names, that the other host does not see where they are. `secret`: 64 hex digits that both ends know. */
export type DiskCopies = { readonly volumes: readonly string[]; readonly secret: string };

export type MigrateRequest = {
  readonly address: string;
  readonly limits: { readonly downtimeLimitMs: number; readonly maxBandwidthMiBps: number };
  readonly onProgress?: (progress: MigrationProgress) => void;
  /** How often progress is read; the end is an event and not read at all. */
  readonly progressEveryMs?: number;
  /** With nothing sent for so long, or no pass smaller than those before, it is cancelled (`hypervisor.migration_stalled`). */
  readonly stallMs?: number;
  readonly signal?: AbortSignal;
  /**
   * Before this resolves nothing is switched over: passes go on, and a guest that has nothing more to be sent runs on here, its migration
   * called off (`hypervisor.migration_held`). Not with `copies`.
   */
  readonly released?: Promise<void>;
  /** Disks that are copied first, while the guest runs, to where the target said; phase `disks`. */
  readonly copies?: DiskCopies & { readonly address: string };
  /** After so many passes over its memory the guest is the target's, and what is left of it follows (`restOf`); phase `post-copy`. */
  readonly postCopy?: { readonly afterPasses: number };
  /** Over so many connections at once, which the target was told as well; one unless told. */
  readonly streams?: number;
  /** A guest that writes about as fast as is sent has its CPUs slowed, more with each pass. */
  readonly throttle?: boolean;
};

/**
 * Where the rest of a memory is that goes, or came, by post-copy. `none`: there is no post-copy, or not yet. `switching`: it has begun, and may
 * fail yet, with its source running on. From then on the source never runs again by itself. `sending`: the target's guest needs what is still at
 * the source. `cut`: so it does, and nothing goes over. `whole`: the target has all of it.
 */
export type Rest = { readonly is: 'none' | 'switching' | 'sending' | 'cut' | 'whole'; readonly progress?: MigrationProgress };

/**
 * `completed`: this end is paused for good (`finish-migrate`, and a moment later `postmigrate`) and the stream was loaded at the other end, which waits for `resume`.
 * Of a post-copy: the other end has, or is about to have, all but the rest of the memory, and `rest` ends when that has gone over, or never will.
 * `failed`: this end was seen running again. Times are QEMU's, microseconds since 1970; downtime = RESUME(target) - STOP(source).
 */
export type MigrateOutcome =
  | {
      readonly outcome: 'completed';
      readonly stoppedAtUs: number;
      readonly completedAtUs: number;
      /** Read after the event, so that nothing stands between the event and the caller. */
      readonly statistics: Promise<MigrationStatistics>;
      readonly rest?: Promise<unknown>;
    }
  | { readonly outcome: 'failed'; readonly cause: import('./errors.ts').HypervisorError; readonly running: boolean };
export type MigrationStatistics = {
  readonly totalMs: number;
  /** QEMU's own figure: up to the end of the source's part; not what a client sees. */
  readonly qemuDowntimeMs: number;
  readonly transferredBytes: number;
  readonly iterations: number;
};

/** `registers`: of CPUs that are off, or spin on one spot. */
export type Progress = { readonly moves: true } | { readonly moves: false; readonly registers: string };

export type SaveRequest = {
  /** Not there yet; where the save fails, the caller deletes what is there. */
  readonly file: string;
  /** The guest is stopped when the rest can be written in so long. */
  readonly downtimeLimitMs: number;
  /** A guest that stands still for longer runs on, and the save has failed (`hypervisor.save_timeout`). */
  readonly maxPauseMs: number;
  /** For the whole of it. */
  readonly deadlineMs: number;
  /** See MigrateRequest: `hypervisor.migration_stalled`. */
  readonly stallMs?: number;
  readonly signal?: AbortSignal;
};
/** Microseconds since 1970, the hypervisor's clock: between the two the guest stood still. */
export type Saved = Shaped & { readonly stoppedAtUs: number; readonly resumedAtUs: number; readonly bytes: number };

/** What a file of a VM's state is, as it is on the disk. */
export type SavedState = { readonly digest: string; readonly bytes: number };
/** `mapped`: each page in its own place (`mapped-ram`), which both ends have to have. */
export type StatePlace = { readonly pool: string; readonly file: string; readonly mapped?: boolean | undefined };
export type SuspendRequest = StatePlace &
  Pick<MigrateRequest, 'onProgress' | 'progressEveryMs' | 'stallMs' | 'signal'> & { readonly maxBandwidthMiBps: number };
/** As of a migration; `completed`: and the file is on the disk. */
export type Suspended =
  (Extract<MigrateOutcome, { outcome: 'completed' }> & { readonly saved: SavedState }) | Extract<MigrateOutcome, { outcome: 'failed' }>;

/** What the next life of a VM is other in. */
export type NextLife = {
  readonly bootOrder?: readonly string[] | undefined;
  readonly vcpus?: number | undefined;
  /** Nothing, not even what a first boot alone has. */ readonly asItWas?: boolean;
};

/** `cold`: nothing comes to it. That this host can start it is seen, nothing waits, and `resume` starts it. */
export type PrepareTarget = {
  readonly vmId: string;
  readonly topology: Topology;
  readonly topologyHash: string;
  readonly cold?: boolean | undefined;
  /** Its state comes as a file: `restore`. */
  readonly restores?: boolean | undefined;
  /** Made anew, and open to the source until the guest is resumed here. They are the VM's only from there on. */
  readonly copies?: (DiskCopies & { readonly allocation?: PoolAllocation | undefined }) | undefined;
  /** Its place is not announced when the guest goes on, but by `announce`. */
  readonly quiet?: boolean | undefined;
  /** Its guest may run here before all of its memory is. */
  readonly postCopy?: boolean | undefined;
  /** As the source's `MigrateRequest` says. */
  readonly streams?: number | undefined;
};
/** `copyAddress`: where disks are copied to; absent where none are. */
export type TargetPrepared = { readonly migrationAddress: string; readonly copyAddress?: string };

/**
 * What a host can do with virtual machines. Policy (epochs, fences, grants, deadlines of a move) is the host agent's.
 * Every call is serialised per VM; every call may be repeated, and then says what is so. Refusals are `HypervisorError`s.
 */
export interface HypervisorDriver {
  facts(): Promise<DriverFacts>;

  /** Makes the volumes and starts the VM. A VM that already runs with this uuid is left alone and answered. */
  boot(spec: BootSpec): Promise<Shaped>;
  /** After a restart of the host agent: takes over every VM in the state directory, also those whose process is gone. */
  adopt(): Promise<VmStatus[]>;
  list(): readonly string[];
  status(vmId: string): Promise<VmStatus>;
  /** Read from the hypervisor; `hypervisor.topology_mismatch` when it isn't what was recorded. */
  topology(vmId: string): Promise<Shaped>;

  /**
   * A volume (`isVolumeFile`) is there before. It, and a NIC on a network of its own (`isNetworkId`), is also plugged and unplugged, and a volume
   * resized, in a VM that is off, for its next start.
   */
  plug(vmId: string, device: Device): Promise<Shaped>;
  /** Ends when the guest let go, refused (`unplug_refused`, final) or said nothing until the deadline (`unplug_timeout`). */
  unplug(vmId: string, device: DeviceRef, deadlineMs: number): Promise<Shaped>;
  resizeDisk(vmId: string, disk: string, sizeMiB: number): Promise<Shaped>;
  /** What may come in to the VM from its networks, also of one that is off; what is so already is done. */
  setFilter(vmId: string, allow: readonly FilterRule[]): Promise<Shaped>;
  /** Whether the VM has this further address on the network, also of one that is off; whoever is on the segment is told its place, again where it is so already. */
  setAddress(vmId: string, address: FurtherAddress): Promise<Shaped>;
  plugSerialPort(vmId: string, port: SerialPortSpec): Promise<Shaped>;
  unplugSerialPort(vmId: string, id: string, deadlineMs: number): Promise<Shaped>;
  /** The host's end of a serial port: one client at a time. */
  openSerialPort(vmId: string, id: string): Promise<Duplex>;
  /** Whether somebody in the guest has its end of a serial port open; what started there before a reboot has not. False: no such port. */
  guestListens(vmId: string, id: string): Promise<boolean>;

  prepareTarget(request: PrepareTarget): Promise<TargetPrepared>;
  migrate(vmId: string, request: MigrateRequest): Promise<MigrateOutcome>;
  /** Refused (`hypervisor.not_ready`) once a post-copy has begun. */
  cancelMigration(vmId: string): Promise<void>;
  /** At either end. */
  restOf(vmId: string): Promise<Rest>;
  /** Of a target whose rest is missing: it listens for its source once more. */
  reopen(vmId: string): Promise<{ readonly migrationAddress: string }>;
  /** Of a source: what is left goes on, to where the target listens now. The way that it went by before is given up, also one that only seems cut. */
  resend(vmId: string, address: string): Promise<void>;
  /**
   * Continues a target whose stream is in, or starts one that was prepared cold. Only after the fence of the source is on its disk. Refused by `not_ready`, `vm_unknown`,
   * `qmp_refused` or `volume_locked` the guest did certainly not run by this call; after any other error it may have.
   */
  resume(vmId: string): Promise<{ readonly resumedAtUs: number }>;
  /** Tells switches where a VM that was resumed is now; again where they were told. */
  announce(vmId: string): Promise<void>;
  /** Continues a source after `completed`. Only when the target is known never to run. */
  reclaim(vmId: string): Promise<{ readonly resumedAtUs: number }>;

  /**
   * Writes memory and devices of a running VM to a file; disks are not in it. However it ends, the VM runs here again, and of one that an
   * earlier life of the driver left standing in the middle `adopt` sees to it. A `cancelMigration` ends it as well.
   */
  saveState(vmId: string, request: SaveRequest): Promise<Saved>;

  /**
   * Has the guest stand still and writes all that it has in memory and devices to a file of a pool, as the only thing that leaves this host: as
   * a migration it ends with this end paused for good, or running. What is there in the file's place is overwritten.
   */
  suspend(vmId: string, request: SuspendRequest): Promise<Suspended>;
  /** Of a target that `restores`: the guest is whole here then, and waits for `resume`. Refused with nothing loaded where the file is another (`save_corrupt`). */
  restore(vmId: string, state: StatePlace & SavedState): Promise<void>;
  /** What is not there is gone already. */
  dropState(pool: string, file: string): Promise<void>;

  /**
   * Ends the process and forgets the VM. Of an unknown VM: nothing to do. Volumes are deleted only where this host's VM owned them:
   * never those of a target that was not resumed, nor of a source whose migration completed.
   */
  destroy(vmId: string, options: { readonly deleteVolumes: boolean }): Promise<void>;
  /** Of a disk that was taken from a VM. Refused while a VM of this host has it, or another process (`hypervisor.volume_locked`). */
  deleteVolume(pool: string, volume: string): Promise<void>;
  /** Blank, or a copy; one that is there and has this size is the answer. */
  createVolume(volume: NewVolume): Promise<VolumeMade>;
  /** Of one that no running VM has; what has the size already is done, and none becomes smaller. */
  growVolume(volume: VolumeSpec): Promise<void>;

  /** The disks of a runner that stands still because a write found no room in their pools, by the hypervisor's own word; else none. */
  starved(vmId: string): Promise<readonly string[]>;
  /** Do the CPUs of a running VM do anything? Looked at for so long before that is denied; of a guest that is well it takes milliseconds. */
  progress(vmId: string, withinMs: number): Promise<Progress>;
  /** As its button does. */
  pressReset(vmId: string): Promise<void>;
  /** As its button does: a guest that listens to it shuts down, in its own time. */
  pressPower(vmId: string): Promise<void>;
  /**
   * Takes the power of a runner, or keeps it off after its guest did: its process is gone, and its hardware and volumes stay for a start,
   * also when the driver is lost. Not while it migrates or is saved.
   */
  halt(vmId: string): Promise<void>;
  /**
   * A new process with the recorded hardware: after a halt, after an end by itself, and in place of one that stands though its guest is
   * over (panicked, shut down). One that runs is answered; one that fails is halted. `bootOrder`: what it boots from now on; absent: as before.
   * `vcpus`: how many CPUs it has at most.
   */
  start(vmId: string, next?: NextLife): Promise<Shaped>;
  /** Stops the CPUs of a runner; `unpause` lets them go on, also after a disk that took no more. Refused where it stands still for another reason. */
  pause(vmId: string): Promise<void>;
  unpause(vmId: string): Promise<void>;
  /** Of a VM of this host, also of one that is off. */
  consoleOf(vmId: string): GuestConsole;
  /** A picture of what it shows, PNG; `hypervisor.no_display` where its image asks for no display, `hypervisor.screen_too_large`. */
  screen(vmId: string): Promise<Buffer>;
  /** The guest of a simulated VM; undefined where guests are real. */
  simulatedGuest?(vmId: string): SimulatedGuest;
  /**
   * What happens to a VM by itself, at once: power-off, reset, panic, stop, continuation, a disk that takes no more, the end of its
   * process. What happened while no driver held it is in `status`; resets of that time nobody knows.
   */
  onLifecycle(listener: (event: LifecycleEvent) => void): () => void;
  /** A VM's process ended by itself. */
  onExit(listener: (exit: { readonly vmId: string; readonly lastWords: string }) => void): () => void;
  /**
   * What this host has of VMs, volumes and networks, whether anybody remembers it or not, by marks that say whose it is. What is younger is
   * told as busy.
   */
  traces(minAgeMs: number): Promise<Trace[]>;
  /** Takes one away, where it is still what was seen and nobody uses it. Of a VM in this order: its process, its NICs, its folder, its disks. */
  erase(trace: Trace): Promise<Erased>;
  /** Its parts of networks that span hosts: there while a VM of this host is on one. */
  segments(): readonly SegmentPart[];
  onSegments(listener: () => void): () => void;
  /** Which other hosts have a part of the segment; word of before is not taken again. */
  setSegmentPeers(vni: number, version: number, peers: readonly string[]): Promise<void>;
  /** Lets go of every VM; they run on. */
  close(): Promise<void>;
}
