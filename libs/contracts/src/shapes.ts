import { z } from 'zod';
import { Segment, SegmentFacts } from './segment.ts';

/** Names people choose: types, images, templates, networks, hosts. */
export const Name = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'a name is lower-case letters, digits and dashes, begins with a letter, and has 63 at most');
export const Id = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,126}$/, 'an id is letters, digits and _ . : @ -, and has 127 at most');
export const Uuid = z.uuid();
export const Mac = z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, 'a MAC address such as 52:54:00:12:34:56');
/** What people sort their things by, as with Kubernetes: `team=web`, `example.org/tier=2`. */
export const LabelKey = z
  .string()
  .max(128)
  .regex(
    /^([a-z0-9]([a-z0-9.-]*[a-z0-9])?\/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/,
    'a label is called like team, or example.org/team',
  );
export const LabelValue = z
  .string()
  .max(63)
  .regex(/^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$/, 'letters, digits, dashes, dots and underscores, no other at either end');
export const MOST_LABELS = 32;
const atMost = (labels: object): boolean => Object.keys(labels).length <= MOST_LABELS;
export const VmLabels = z.record(LabelKey, LabelValue).refine(atMost, `at most ${MOST_LABELS} labels`);
export type VmLabels = z.infer<typeof VmLabels>;
/** Those that are named; null takes one away, as a JSON merge patch does. */
export const VmLabelChanges = z.record(LabelKey, LabelValue.nullable()).refine(atMost, `at most ${MOST_LABELS} labels`);
export type VmLabelChanges = z.infer<typeof VmLabelChanges>;
export const Timestamp = z.iso.datetime({ offset: true });
export const Sha256 = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 hexadecimal digits');
export const Positive = z.int().positive();
export const Count = z.int().nonnegative();

/** Of a named thing: as many digits as `name@version` has. */
export const Version = Positive.max(999_999_999);

export const Ref = z.object({ name: Name, version: Version });
export type Ref = z.infer<typeof Ref>;
/** A reference as text, where JSON holds one: task inputs, params of workflows. */
export const RefText = z.string().regex(/^[a-z][a-z0-9-]{0,62}@[1-9][0-9]{0,8}$/, 'name@version, such as small@1');
/** `small@1`: how people and reports write a reference. */
export const refText = (r: Ref): string => `${r.name}@${r.version}`;
export const parseRef = (text: string): Ref | undefined => {
  const m = /^([a-z][a-z0-9-]{0,62})@([1-9][0-9]{0,8})$/.exec(text);
  return m ? { name: m[1]!, version: Number(m[2]) } : undefined;
};

/** A VM type: a named, versioned shape. `max` is the headroom made at boot (maxcpus, DIMM slots), not a promise. */
export const VmTypeSpec = z.object({
  vcpus: z.object({ now: Positive.max(64), max: Positive.max(64) }),
  memoryMiB: z.object({ now: Positive.max(262_144), max: Positive.max(262_144) }),
  disks: z.array(z.object({ id: Name, sizeMiB: Positive.max(1_048_576) })).max(8),
  nics: z.array(z.object({ id: Name, network: Name })).max(8),
  cpuModel: z.string().min(1).max(64),
  requiredTraits: z.array(z.string().max(64)).max(32),
});
export type VmTypeSpec = z.infer<typeof VmTypeSpec>;

export const resources = ['vcpu', 'memoryMiB', 'diskMiB'] as const;
export type Resource = (typeof resources)[number];
export const Amounts = z.object({ vcpu: Count, memoryMiB: Count, diskMiB: Count });
export type Amounts = z.infer<typeof Amounts>;
/** The storage pool of a new VM's disks where none is named. */
export const DEFAULT_POOL = 'shared';

/**
 * What a VM of this shape holds on a host. The one place where a type becomes amounts. Of a VM that boots from a disk: with its root disk,
 * which it has whatever its type says.
 */
export const amountsOf = (spec: VmTypeSpec, image?: Pick<Image, 'disk'>): Amounts => ({
  vcpu: spec.vcpus.now,
  memoryMiB: spec.memoryMiB.now,
  diskMiB: (image ? disksOf(spec, image) : spec.disks).reduce((sum, d) => sum + d.sizeMiB, 0),
});

/** Ratios are per-mille integers: a float ratio lets two call sites round differently. */
export const Inventory = z.object({ total: Count, reserved: Count, ratioPerMille: Positive, min: Positive, max: Positive, step: Positive });
export type Inventory = z.infer<typeof Inventory>;

/**
 * A storage pool as a resource: `pool-<uuid>`, which is written in the pool itself. Hosts that read the same id share it, whatever they call
 * it; two pools of one name are two.
 */
export const PoolId = z.string().regex(/^pool-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);

/** A pool that a host has: `name` is what its volumes and VMs call it there. */
export const HostPool = z.object({ name: Name, poolId: PoolId, kind: Name });
export type HostPool = z.infer<typeof HostPool>;

/** What starts a VM that boots from a disk. */
export const Firmware = z.enum(['bios', 'uefi']);
export type Firmware = z.infer<typeof Firmware>;

export const HostFacts = z.object({
  hostId: Name,
  address: z.string().max(255),
  place: z.object({ site: Name, room: Name, rack: Name }),
  driver: z.enum(['qemu', 'simulated']),
  accelerator: z.enum(['kvm', 'tcg', 'none']),
  hypervisorVersion: z.string().max(64),
  cpuModels: z.array(z.string().max(64)).max(512),
  machineTypes: z.array(z.string().max(64)).max(512),
  traits: z.array(z.string().max(64)).max(256),
  storagePools: z.array(Name).max(32),
  /** Of those, the ones that no other host sees; absent: none, or an agent of before. */
  localPools: z.array(Name).max(32).optional(),
  /** Its agent takes part in a move that copies disks; absent: an agent of before, which does not. */
  copiesDisks: z.literal(true).optional(),
  /** Which pools those are; absent: an agent of before, of whose pools nothing is held. */
  pools: z.array(HostPool).max(32).optional(),
  networks: z.array(Name).max(256),
  /** Its hypervisor comes whole through the unplug of a CPU; absent: an agent of before, which does not say. */
  cpuHotUnplug: z.boolean().optional(),
  /** Methods of migration that it can carry out, as either end; absent: an agent of before, which has `pre-copy` alone. */
  methods: z
    .array(z.enum(['pre-copy', 'post-copy', 'save-and-restore', 'restart']))
    .max(8)
    .optional(),
  /** Its hypervisor writes each page of a saved memory to its own place in the file (`mapped-ram`), and reads such a file; absent: it does not. */
  mappedRam: z.literal(true).optional(),
  /** Of segments that span hosts; absent: an agent of before, which carries none. */
  segments: SegmentFacts.optional(),
  /** What its VMs can boot by; absent: an agent of before, which has BIOS alone. */
  firmware: z.array(Firmware).max(2).optional(),
  inventory: z.object({ vcpu: Inventory, memoryMiB: Inventory, diskMiB: Inventory }),
});
export type HostFacts = z.infer<typeof HostFacts>;

/** Of a disk image in a host's image store. */
export const ImageFormat = z.enum(['raw', 'qcow2']);
/** What a host's image store holds: disk images, and what a VM had in memory and devices (`vm-state`). */
export const StoredFormat = z.enum([...ImageFormat.options, 'vm-state']);

/** A disk as an image: its file's format, and the size that a guest sees, rounded up. `firmware`: what its loader is for; absent: BIOS. */
export const DiskImage = z.object({ format: ImageFormat, sizeMiB: Positive.max(1_048_576), firmware: z.literal('uefi').optional() });
export type DiskImage = z.infer<typeof DiskImage>;
/**
 * What a VM boots from, by digest; hosts resolve it in their image store. Of kind `kernel`: a kernel, its initial RAM disk and its words. Of
 * kind `disk`, which has `disk`: a whole disk, of which each VM has a copy as its root disk; `cmdline` is empty.
 */
export const Image = z.object({
  name: Name,
  version: Version,
  digest: Sha256,
  cmdline: z.string().max(1024),
  disk: DiskImage.optional(),
  /** What is in it draws on a screen: its VMs have a standard VGA adapter, here and wherever they go. Absent: serial console alone. */
  display: z.literal('vga').optional(),
});
export type Image = z.infer<typeof Image>;
export const imageKinds = ['kernel', 'disk'] as const;
export const imageKindOf = ({ disk }: Pick<Image, 'disk'>): (typeof imageKinds)[number] => (disk ? 'disk' : 'kernel');

/** What a guest is told at its first boot, by reference: a file in the depot, which nobody finds who does not know its digest. */
export const Seed = z.object({ digest: Sha256, bytes: Positive });
export type Seed = z.infer<typeof Seed>;

/** What an image asks of the host that boots it, where that is not what each has. */
export const firmwareOf = ({ disk }: Pick<Image, 'disk'>): { firmware?: 'uefi' } => (disk?.firmware ? { firmware: disk.firmware } : {});

/** The disk that a VM of a disk image boots from. A type that has one of this name says its size; else it is as large as the image. */
export const ROOT_DISK = 'root';
/** The disks a VM of this type and image is made with, the one that it boots from first. */
export const disksOf = ({ disks }: Pick<VmTypeSpec, 'disks'>, { disk }: Pick<Image, 'disk'>): VmTypeSpec['disks'] => {
  if (!disk) return disks;
  const root = disks.find((d) => d.id === ROOT_DISK) ?? { id: ROOT_DISK, sizeMiB: disk.sizeMiB };
  return [root, ...disks.filter((d) => d !== root)];
};

/** One word of a command line that is QEMU's: without what parts options there, or words anywhere. */
export const isWord = (text: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text);
/** Words for a kernel, in one line: a control character would end it, or hide what comes behind. */
export const isOneLine = (text: string): boolean => !/[\p{Cc}\p{Zl}\p{Zp}]/u.test(text);

export const VolumeName = z.string().regex(/^[A-Za-z0-9._-]{1,128}$/);

/** A device's own name, or one that nobody can give: `chrysalis.`, for what Chrysalis plugs by itself (device-names.ts). */
export const DeviceId = z.string().regex(/^(chrysalis\.)?[a-z][a-z0-9-]{0,62}$/);

export const Disk = z.object({
  id: DeviceId,
  port: Count,
  serial: z.string().max(20),
  sizeMiB: Positive,
  format: z.enum(['raw', 'qcow2']),
  pool: Name,
  volume: VolumeName,
  readOnly: z.boolean(),
});
export type Disk = z.infer<typeof Disk>;
/** `segment`: of a NIC on a network that is a resource of its own, whose id is then `id` and `network`; else `network` is one of the host's. */
export const Nic = z.object({ id: Name, port: Count, mac: Mac, network: Name, segment: Segment.optional() });
export type Nic = z.infer<typeof Nic>;
/** The file that UEFI keeps its variables in, of each VM its own, beside its root disk: it is where its disks are. */
export const UefiVariables = z.object({ pool: Name, volume: VolumeName });
export const SerialPort = z.object({ id: Name, nr: Positive, name: z.string().max(64) });

export const BootOrder = z.array(DeviceId).max(16);

/**
 * The hardware a VM has, as data: recorded at boot and at each plug, hashed, and the only source of a target's command line.
 * One socket; hot-added CPU n is core n. `port` is the index of the root port; one device a port.
 */
export const Topology = z.object({
  uuid: Uuid,
  machine: z.string().max(64),
  cpuModel: z.string().max(64),
  vcpus: z.object({ boot: Positive, max: Positive, plugged: z.array(z.object({ id: Name, coreId: Positive })) }),
  memory: z.object({ bootMiB: Positive, slots: Count, maxMiB: Positive, dimms: z.array(z.object({ id: Name, sizeMiB: Positive })) }),
  rootPorts: Positive,
  disks: z.array(Disk),
  nics: z.array(Nic),
  serialPorts: z.array(SerialPort),
  image: Image,
  /** Of a VM that boots by UEFI; absent: BIOS. */
  uefi: UefiVariables.optional(),
  /** From which devices its firmware boots, by their ids; absent: from its root disk, where it has one. */
  bootOrder: BootOrder.optional(),
});
export type Topology = z.infer<typeof Topology>;

export const Device = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('cpu'), id: Name, coreId: Positive }),
  z.object({ kind: z.literal('memory'), id: Name, sizeMiB: Positive }),
  Disk.extend({ kind: z.literal('disk'), id: Name }),
  Nic.extend({ kind: z.literal('nic') }),
]);
export type Device = z.infer<typeof Device>;

/** Everything read inside the guest; the shape of vm.before and vm.after in the demo's report. */
export const GuestFacts = z.object({
  bootId: z.string().regex(/^[0-9a-f-]{36}$/),
  uptimeSeconds: z.number(),
  os: z.object({ id: z.string().max(64), version: z.string().max(64), kernel: z.string().max(128) }),
  vcpus: Count,
  memoryMiB: Count,
  disks: z.array(z.object({ name: z.string().max(64), serial: z.string().max(64), bytes: Count })).max(64),
  fileSystems: z.array(z.object({ mount: z.string().max(255), disk: z.string().max(64), type: z.string().max(32), bytes: Count })).max(64),
  nics: z.array(Mac).max(64),
});
export type GuestFacts = z.infer<typeof GuestFacts>;

export const capabilityNames = [
  'cpu-hotplug',
  'cpu-hotunplug',
  'memory-hotplug',
  'memory-hotunplug',
  'disk-rescan',
  'filesystem-grow',
  'nic-hotunplug',
  'run-script',
] as const;

/** A capability is present, absent or unknown, always with what was looked at. */
export const Capability = z.object({
  name: z.enum(capabilityNames),
  state: z.enum(['present', 'absent', 'unknown']),
  evidence: z.string().max(512),
  addableBy: z.string().max(64).optional(),
});
export type Capability = z.infer<typeof Capability>;
export const Characterisation = z.object({
  vmId: Id,
  source: z.enum(['agent', 'qemu-ga', 'failsafe']),
  at: Timestamp,
  agentVersion: z.string().max(64).optional(),
  facts: GuestFacts.optional(),
  capabilities: z.array(Capability),
});
export type Characterisation = z.infer<typeof Characterisation>;

/** Exit codes of a script that are as good as 0, which always is. */
export const ExitCodes = z.array(z.int().min(1).max(255)).min(1).max(32);

/** Why something did not happen: a stable code, words for people, and the evidence. Passed from the failing component unchanged. */
export const Cause = z.object({
  code: z.string().max(128),
  message: z.string().max(2048),
  retriable: z.boolean().optional(),
  detail: z.unknown().optional(),
});
export type Cause = z.infer<typeof Cause>;
