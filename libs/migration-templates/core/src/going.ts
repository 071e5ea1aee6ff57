import { freePort, memoryMiBOf, vcpusOf, type Device, type Topology } from '@chrysalis/contracts';

type Cpu = Topology['vcpus']['plugged'][number];
type Dimm = Topology['memory']['dimms'][number];

/** The CPUs that go so that `vcpus` are left: the highest cores first. Those of the boot stay, however many those are. */
export const cpusGoing = (t: Topology, vcpus: number): Cpu[] =>
  [...t.vcpus.plugged].sort((a, b) => b.coreId - a.coreId).slice(0, Math.max(0, vcpusOf(t) - vcpus));

/** The fewest DIMMs that make up the difference exactly, the last plugged first; undefined where none do. Memory of the boot stays. */
export const dimmsGoing = (t: Topology, memoryMiB: number): Dimm[] | undefined => {
  const reached = new Map<number, Dimm[]>([[0, []]]);
  for (const dimm of [...t.memory.dimms].reverse())
    for (const [sum, dimms] of [...reached]) {
      const [more, before] = [sum + dimm.sizeMiB, reached.get(sum + dimm.sizeMiB)];
      if (!before || before.length > dimms.length + 1) reached.set(more, [...dimms, dimm]);
    }
  return reached.get(Math.max(0, memoryMiBOf(t) - memoryMiB));
};

const MAC = /^52:54:00:([0-9a-f]{2})(:[0-9a-f]{2}:[0-9a-f]{2})$/;

/**
 * A NIC of the type that the VM lacks. Its MAC has the last two bytes of one that the VM has, which are no other VM's until it is deleted
 * (those of a NIC on a network are until that is detached), and the lowest fourth byte that none of its own has: so it is nobody else's.
 * Undefined: no NIC to tell it by, or no free root port.
 */
export const nicToCome = (t: Topology, nic: Readonly<{ id: string; network: string }>): Extract<Device, { kind: 'nic' }> | undefined => {
  const macs = t.nics.flatMap(({ mac }) => MAC.exec(mac) ?? []);
  const [port, tail] = [freePort(t), MAC.exec(t.nics.find((n) => !n.segment && MAC.test(n.mac))?.mac ?? '')?.[2]];
  if (port === undefined || tail === undefined) return undefined;
  let place = 0;
  while (macs.includes(place.toString(16).padStart(2, '0'))) place++;
  return { kind: 'nic', ...nic, port, mac: `52:54:00:${place.toString(16).padStart(2, '0')}${tail}` };
};
