import { memoryMiBOf, namedDisksOf, ROOT_DISK, shownCpus, type Shows, type Topology, type VmTypeSpec } from '@chrysalis/contracts';
import { cpusGoing, dimmsGoing } from './going.ts';

/** DIMMs come in blocks of this size: the memory block size of an x86 guest, below which it cannot bring memory online. */
export const MEMORY_STEP_MIB = 128;

export type Change = Readonly<{ from: number; to: number }>;
/** What separates the hardware a VM has from the shape of a type. Devices that are of neither (an agent's disk) are left alone. */
export type Difference = Readonly<{
  cpus: Change;
  memoryMiB: Change;
  cpuModel: Readonly<{ from: string; to: string }>;
  disksGrown: readonly Readonly<{ id: string } & Change>[];
  /** Larger than the type has them: they stay as they are. */
  disksKept: readonly Readonly<{ id: string } & Change>[];
  disksRemoved: readonly string[];
  disksAdded: readonly string[];
  nicsRemoved: readonly string[];
  nicsAdded: readonly string[];
  nicsRewired: readonly string[];
}>;

type Of = Readonly<{ topology: Topology; spec: VmTypeSpec; shows?: Shows | undefined }>;
/** The VM's own type says which devices are the type's own: only those may be removed. */
export const difference = ({ topology, spec: source, shows }: Of, target: VmTypeSpec): Difference => {
  const disks = new Map(namedDisksOf(topology).map((d) => [d.id, d]));
  const nics = new Map(topology.nics.map((n) => [n.id, n]));
  const resized = target.disks.flatMap((d) => {
    const has = disks.get(d.id);
    return has && has.sizeMiB !== d.sizeMiB ? [{ id: d.id, from: has.sizeMiB, to: d.sizeMiB }] : [];
  });
  const boots = (id: string): boolean => topology.image.disk !== undefined && id === ROOT_DISK; // and stays, whatever types say
  const lacks = (list: readonly { id: string }[], id: string): boolean => !list.some((x) => x.id === id);
  return {
    cpus: { from: shownCpus(topology, { spec: source, shows }), to: target.vcpus.now },
    memoryMiB: { from: memoryMiBOf(topology), to: target.memoryMiB.now },
    cpuModel: { from: topology.cpuModel, to: target.cpuModel },
    disksGrown: resized.filter((d) => d.to > d.from),
    disksKept: resized.filter((d) => d.to < d.from),
    disksRemoved: source.disks.filter((d) => disks.has(d.id) && lacks(target.disks, d.id) && !boots(d.id)).map((d) => d.id),
    disksAdded: target.disks.filter((d) => !disks.has(d.id)).map((d) => d.id),
    nicsRemoved: source.nics.filter((n) => nics.has(n.id) && lacks(target.nics, n.id)).map((n) => n.id),
    nicsAdded: target.nics.filter((n) => !nics.has(n.id)).map((n) => n.id),
    nicsRewired: target.nics.filter((n) => nics.has(n.id) && nics.get(n.id)!.network !== n.network).map((n) => n.id),
  };
};

/** The hardware that gets to the target: without what the target type has not. CPUs that are offlined are there still. */
export const withoutRemoved = (t: Topology, d: Difference, offlines: boolean): Topology => {
  const cpus = offlines || d.cpus.to >= d.cpus.from ? [] : cpusGoing(t, d.cpus.to);
  const dimms = dimmsGoing(t, d.memoryMiB.to) ?? [];
  return {
    ...t,
    vcpus: { ...t.vcpus, plugged: t.vcpus.plugged.filter((x) => !cpus.includes(x)) },
    memory: { ...t.memory, dimms: t.memory.dimms.filter((x) => !dimms.includes(x)) },
    disks: t.disks.filter((x) => !d.disksRemoved.includes(x.id)),
    nics: t.nics.filter((x) => !d.nicsRemoved.includes(x.id)),
  };
};

/** Something of the target type is not there yet: what `hide` would keep from the guest. */
export const grows = (d: Difference): boolean =>
  d.cpus.to > d.cpus.from ||
  d.memoryMiB.to > d.memoryMiB.from ||
  d.disksGrown.length > 0 ||
  d.nicsAdded.length > 0 ||
  d.cpuModel.from !== d.cpuModel.to;

/** By PCI hot-unplug. */
export const removesDevices = (d: Difference): boolean => d.disksRemoved.length > 0 || d.nicsRemoved.length > 0;
export const shrinks = (d: Difference): boolean => d.cpus.to < d.cpus.from || d.memoryMiB.to < d.memoryMiB.from;
