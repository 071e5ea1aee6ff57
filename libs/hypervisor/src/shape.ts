import { isDeepStrictEqual } from 'node:util';
import {
  bootingFrom,
  diskSerial,
  disksOf,
  freePort,
  isNetworkId,
  isVolumeFile,
  memoryMiBOf,
  portsInUse,
  SEED_DISK,
  vcpusOf,
  volumeFile,
} from '@chrysalis/contracts';
import type { Device, Topology } from '@chrysalis/contracts';
import type { BootSpec, NextLife, SerialPortSpec } from './driver.ts';
import { HypervisorError } from './errors.ts';

export const DEFAULT_MACHINE = 'pc-q35-7.2';
export const ROOT_PORTS = 8;
export const DIMM_SLOTS = 4;
export const MAX_SERIAL_NR = 7;
export const GUEST_AGENT_PORT: SerialPortSpec = { id: 'qga', nr: 1, name: 'org.qemu.guest_agent.0' };
const UNSAFE_MODELS = new Set(['max', 'host', 'base']);

export const assertMigratableCpu = (model: string): void => {
  if (UNSAFE_MODELS.has(model) || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(model))
    throw new HypervisorError('hypervisor.cpu_model_unsafe', `A VM with CPU model ${model} may not survive a migration`, { model });
};

/** `pc-q35-7.2`, never the alias `q35`: an alias means another machine on another QEMU. */
export const assertVersionedMachine = (machine: string): void => {
  if (!/^pc-q35-[0-9]+\.[0-9]+$/.test(machine))
    throw new HypervisorError('hypervisor.machine_unsupported', `${machine} is not a versioned q35 machine type`, { machine });
};

export const volumeName = (vmId: string, disk: string): string => `${vmId.replaceAll(/[^A-Za-z0-9._-]/g, '_')}.${disk}.qcow2`.slice(-128);

/** Behind all others, so that it is in nobody's way when it goes. */
const seedDisk = (vmId: string, at: { port: number; pool: string; sizeMiB: number }): Topology['disks'][number] => ({
  ...at,
  id: SEED_DISK,
  serial: diskSerial(SEED_DISK),
  format: 'raw',
  volume: volumeName(vmId, 'seed').replace(/qcow2$/, 'raw'),
  readOnly: true,
});
/** Of a VM that is started again: it has had its first boot, and boots from this now, with no more CPUs than it is to have. */
export const anew = (t: Topology, { bootOrder, vcpus, asItWas }: NextLife): Topology => {
  if (asItWas) return t;
  const topology = { ...t, disks: t.disks.filter((d) => d.id !== SEED_DISK), vcpus: atMost(t.vcpus, vcpus) };
  return bootOrder === undefined ? topology : bootingFrom(topology, bootOrder);
};
const atMost = (has: Topology['vcpus'], most = Infinity): Topology['vcpus'] => {
  const boot = Math.min(has.boot, most);
  const plugged = [...has.plugged].sort((a, b) => a.coreId - b.coreId).slice(0, most - boot);
  return { ...has, boot, plugged: plugged.length === has.plugged.length ? has.plugged : plugged };
};

/** The hardware a VM of this type starts with. */
export const initialTopology = ({ vmId, uuid, spec, image, nics, pool, seed, machine = DEFAULT_MACHINE }: BootSpec): Topology => {
  assertVersionedMachine(machine);
  assertMigratableCpu(spec.cpuModel);
  const wanted = disksOf(spec, image);
  const devices = wanted.length + nics.length + (seed ? 1 : 0);
  if (devices > ROOT_PORTS)
    throw new HypervisorError('hypervisor.no_free_port', `${devices} devices and ${ROOT_PORTS} root ports`, { devices });
  const disks = wanted.map(({ id, sizeMiB }, port) => ({
    id,
    port,
    serial: diskSerial(id),
    sizeMiB,
    format: 'qcow2' as const,
    pool,
    volume: volumeName(vmId, id),
    readOnly: false,
  }));
  return {
    uuid,
    machine,
    cpuModel: spec.cpuModel,
    vcpus: { boot: spec.vcpus.now, max: Math.max(spec.vcpus.max, spec.vcpus.now), plugged: [] },
    memory: { bootMiB: spec.memoryMiB.now, slots: DIMM_SLOTS, maxMiB: Math.max(spec.memoryMiB.max, spec.memoryMiB.now), dimms: [] },
    rootPorts: ROOT_PORTS,
    disks: seed ? [...disks, seedDisk(vmId, { port: devices - 1, pool, sizeMiB: seed.sizeMiB })] : disks,
    nics: nics.map(({ id, mac, network, segment }, i) => ({ id, port: disks.length + i, mac, network, ...(segment ? { segment } : {}) })),
    serialPorts: [GUEST_AGENT_PORT],
    image,
    ...(image.disk?.firmware === 'uefi' ? { uefi: { pool, volume: volumeName(vmId, 'uefi').replace(/qcow2$/, 'fd') } } : {}),
  };
};

/**
 * A DIMM's slot is the number its id ends with, so that a target puts it at the same address whatever was plugged
 * and unplugged before. QEMU's own choice, the first fit, depends on that history, and nothing would notice.
 */
export const dimmSlot = (t: Topology, id: string): number => {
  const digits = /([0-9]{1,9})$/.exec(id)?.[1];
  return t.memory.slots === 0 ? -1 : Number(digits ?? 0) % t.memory.slots;
};

type Found = { kind: Device['kind']; id: string };
export const findDevice = (t: Topology, { kind, id }: Found): Device | undefined => {
  const list = { cpu: t.vcpus.plugged, memory: t.memory.dimms, disk: t.disks, nic: t.nics }[kind];
  const found = list.find((d) => d.id === id);
  return found && ({ kind, ...found } as Device);
};

export const sameDevice = (a: Device, b: Device): boolean =>
  Object.keys(a).length === Object.keys(b).length &&
  Object.entries(a).every(([key, value]) => isDeepStrictEqual(value, (b as Record<string, unknown>)[key]));

/** Throws where the hardware has no room. QEMU 7.2 itself takes a second device on a root port, where no guest looks for it. */
export const assertRoom = (t: Topology, d: Device): void => {
  switch (d.kind) {
    case 'cpu':
      return assertCore(t, d.coreId);
    case 'memory':
      return assertDimm(t, d.id, d.sizeMiB);
    case 'disk':
      assertSerial(t, d.serial);
      return assertPort(t, d.port);
    case 'nic':
      return assertPort(t, d.port);
  }
};

const assertCore = (t: Topology, coreId: number): void => {
  const taken = coreId < t.vcpus.boot || t.vcpus.plugged.some((c) => c.coreId === coreId);
  if (taken || coreId >= t.vcpus.max || vcpusOf(t) >= t.vcpus.max)
    throw new HypervisorError('hypervisor.no_free_cpu', `Core ${coreId} is taken, or beyond the ${t.vcpus.max} this VM can have`, {
      coreId,
    });
};

const assertDimm = (t: Topology, id: string, sizeMiB: number): void => {
  const slot = dimmSlot(t, id);
  const owner = t.memory.dimms.find((d) => dimmSlot(t, d.id) === slot);
  const detail = { slot, owner: owner?.id, maxMiB: t.memory.maxMiB };
  if (owner || slot < 0) throw new HypervisorError('hypervisor.no_free_memory', `The DIMM slot of ${id} is taken`, detail);
  if (sizeMiB % 2 !== 0) throw new HypervisorError('hypervisor.no_free_memory', 'Memory comes in multiples of 2 MiB', detail);
  if (memoryMiBOf(t) + sizeMiB > t.memory.maxMiB)
    throw new HypervisorError('hypervisor.no_free_memory', `More than the ${t.memory.maxMiB} MiB this VM can have`, detail);
};

/** Two disks of one serial number are one to the guest that looks for it. */
const assertSerial = (t: Topology, serial: string): void => {
  const owner = t.disks.find((d) => d.serial === serial);
  if (owner)
    throw new HypervisorError('hypervisor.device_conflict', `Disk ${owner.id} has the serial number ${serial}`, { serial, disk: owner.id });
};

const assertPort = (t: Topology, port: number): void => {
  if (port >= t.rootPorts || freePort(t) === undefined)
    throw new HypervisorError('hypervisor.no_free_port', `Root port ${port}: this VM has ${t.rootPorts}`, { port, rootPorts: t.rootPorts });
  if (portsInUse(t).has(port)) throw new HypervisorError('hypervisor.port_in_use', `Root port ${port} has a device`, { port });
};

export const assertSerialRoom = (t: Topology, port: SerialPortSpec): void => {
  if (port.nr > MAX_SERIAL_NR || t.serialPorts.some((p) => p.nr === port.nr))
    throw new HypervisorError('hypervisor.no_free_serial', `Serial port number ${port.nr} is taken, or above ${MAX_SERIAL_NR}`, { port });
};

/** True when there is something to plug; false when this very device is there. */
export const assertPlug = (t: Topology, device: Device): boolean => {
  const present = findDevice(t, device);
  if (!present) {
    assertRoom(t, device);
    return true;
  }
  if (sameDevice(present, device)) return false;
  throw new HypervisorError('hypervisor.device_conflict', `There is another ${device.kind} ${device.id}`, { present, requested: device });
};

/** True when there is something to unplug; false when it is gone already. What a VM was booted with has no id to unplug by. */
export const assertUnplug = (t: Topology, device: Found): boolean => findDevice(t, device) !== undefined;

export const assertSerialPlug = (t: Topology, port: SerialPortSpec): boolean => {
  const present = t.serialPorts.find((p) => p.id === port.id);
  if (!present) {
    assertSerialRoom(t, port);
    return true;
  }
  if (present.nr === port.nr && present.name === port.name) return false;
  throw new HypervisorError('hypervisor.device_conflict', `There is another serial port ${port.id}`, { present, requested: port });
};

/** True when the disk is to grow, false when it has the size. */
export const assertResize = (t: Topology, disk: string, sizeMiB: number): boolean => {
  const present = t.disks.find((d) => d.id === disk);
  if (!present) throw new HypervisorError('hypervisor.device_unknown', `No disk ${disk}`, { disk });
  if (sizeMiB < present.sizeMiB || present.readOnly)
    throw new HypervisorError('hypervisor.disk_shrink_refused', `Disk ${disk} has ${present.sizeMiB} MiB: it does not become ${sizeMiB}`, {
      sizeMiB: present.sizeMiB,
      requestedMiB: sizeMiB,
      readOnly: present.readOnly,
    });
  return sizeMiB > present.sizeMiB;
};

/** Those that come and go with their VM: no volume of its own standing, nothing that is only read, but for its seed. */
export const ownFiles = (t: Topology): Pick<Topology['disks'][number], 'pool' | 'volume'>[] => [
  ...t.disks.filter((d) => d.id === SEED_DISK || (!d.readOnly && !isVolumeFile(d.volume))),
  ...(t.uefi ? [t.uefi] : []),
];

/** As a device, a volume has its own id: so that also one that is gone is known as what it was. */
export const isVolume = ({ kind, id }: Found): boolean => kind === 'disk' && isVolumeFile(volumeFile(id));

/** What comes to a VM and goes from it also while it is off: its record is its hardware then. */
export const isOfOff = (device: Found): boolean => isVolume(device) || (device.kind === 'nic' && isNetworkId(device.id));

/** A volume in the hardware of a VM of this host, running or off, is that VM's. */
export const assertUnattached = (vms: ReadonlyMap<string, Topology>, pool: string, volume: string): void => {
  for (const [vmId, { disks }] of vms)
    if (disks.some((d) => d.pool === pool && d.volume === volume))
      throw new HypervisorError('hypervisor.volume_in_use', `${vmId} has the volume ${volume}`, { vmId });
};

export const assertOnSegment = ({ nics }: Topology, network: string): void => {
  if (!nics.some((n) => n.id === network && n.segment))
    throw new HypervisorError('hypervisor.device_unknown', `No NIC on ${network}`, { network });
};
