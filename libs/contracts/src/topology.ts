import { createHash } from 'node:crypto';
import { canonicalJson } from '@chrysalis/kernel';
import { numberOf } from './ipv4.ts';
import type { FilterRule, Segment } from './segment.ts';
import type { Device, Topology } from './shapes.ts';

/** Both ends of a move compare this before a byte is sent. Lists are sorted by id: the order of plugging is not part of the hardware. */
export const topologyHash = (t: Topology): string => {
  const byId = <T extends { id: string }>(list: readonly T[]): T[] => [...list].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
  const sorted = {
    ...t,
    vcpus: { ...t.vcpus, plugged: byId(t.vcpus.plugged) },
    memory: { ...t.memory, dimms: byId(t.memory.dimms) },
    disks: byId(t.disks),
    nics: byId(t.nics),
    serialPorts: byId(t.serialPorts),
  };
  return `sha256:${createHash('sha256').update(canonicalJson(sorted)).digest('hex')}`;
};

export const vcpusOf = (t: Topology): number => t.vcpus.boot + t.vcpus.plugged.length;
export const memoryMiBOf = (t: Topology): number => t.memory.bootMiB + t.memory.dimms.reduce((sum, d) => sum + d.sizeMiB, 0);
/** What a file of its state takes at most: all of its memory, a word on each page, its display, its firmware and its devices. */
export const stateMiBOf = (t: Topology): number => Math.ceil(memoryMiBOf(t) * 1.01) + 64;
export const portsInUse = (t: Topology): ReadonlySet<number> => new Set([...t.disks, ...t.nics].map((d) => d.port));
export const freePort = (t: Topology): number | undefined => {
  const used = portsInUse(t);
  for (let p = 0; p < t.rootPorts; p++) if (!used.has(p)) return p;
  return undefined;
};

/** The topology after a plug. The caller has checked that the id and the port are free. */
export const plugged = (t: Topology, d: Device): Topology => {
  const { kind, ...rest } = d;
  switch (kind) {
    case 'cpu':
      return { ...t, vcpus: { ...t.vcpus, plugged: [...t.vcpus.plugged, rest as { id: string; coreId: number }] } };
    case 'memory':
      return { ...t, memory: { ...t.memory, dimms: [...t.memory.dimms, rest as { id: string; sizeMiB: number }] } };
    case 'disk':
      return { ...t, disks: [...t.disks, rest as Topology['disks'][number]] };
    case 'nic':
      return { ...t, nics: [...t.nics, rest as Topology['nics'][number]] };
  }
};

export const unplugged = (t: Topology, d: { kind: Device['kind']; id: string }): Topology => {
  const without = <T extends { id: string }>(list: readonly T[]): T[] => list.filter((x) => x.id !== d.id);
  switch (d.kind) {
    case 'cpu':
      return { ...t, vcpus: { ...t.vcpus, plugged: without(t.vcpus.plugged) } };
    case 'memory':
      return { ...t, memory: { ...t.memory, dimms: without(t.memory.dimms) } };
    case 'disk':
      return { ...t, disks: without(t.disks) };
    case 'nic':
      return { ...t, nics: without(t.nics) };
  }
};

export const resized = (t: Topology, disk: string, sizeMiB: number): Topology => ({
  ...t,
  disks: t.disks.map((d) => (d.id === disk ? { ...d, sizeMiB } : d)),
});

/** With this, and no more, let in on each of its networks. */
export const filtered = (t: Topology, allow: readonly FilterRule[]): Topology => ({
  ...t,
  nics: t.nics.map((n) => (n.segment ? { ...n, segment: { ...n.segment, allow: [...allow] } } : n)),
});

/** With the further address on that network, or without it. Where the VM is not on the network, or it is so already: as it was. */
export const addressed = (t: Topology, network: string, address: string, has: boolean): Topology => ({
  ...t,
  nics: t.nics.map((n) => (n.id === network && n.segment ? { ...n, segment: withFurther(n.segment, address, has) } : n)),
});
const withFurther = ({ further = [], ...segment }: Segment, address: string, has: boolean): Segment => {
  const others = further.filter((a) => a !== address);
  const all = has ? [...others, address].sort((a, b) => numberOf(a) - numberOf(b)) : others;
  return { ...segment, ...(all.length > 0 ? { further: all } : {}) };
};
