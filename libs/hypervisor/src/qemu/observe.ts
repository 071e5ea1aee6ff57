import { topologyHash } from '@chrysalis/contracts';
import type { Topology } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { cpuTypeName, dimmAddress, maxmemMiB } from './command-line.ts';

const MiB = 1024 * 1024;
type QomEntry = { name: string; type: string };
type Hotpluggable = { type: string; props: Record<string, number>; 'qom-path'?: string };
type MemoryDevice = { type: string; data: { id?: string; size: number; slot: number; addr: number } };
type Block = { qdev?: string; inserted?: { drv: string; ro: boolean; image: { filename: string; 'virtual-size': number } } };

export type PathToVolume = (path: string) => { pool: string; volume: string } | undefined;

const prefixed = (entries: readonly string[], prefix: string): string[] =>
  entries.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));

/**
 * The topology as QEMU shows it, in the order of the recorded one. What QEMU does not know (the image behind the kernel) is
 * taken from the record; all that a guest can see is read.
 */
export const observe = async (qmp: QmpClient, recorded: Topology, volumes: (pool: string, volume: string) => string): Promise<Topology> => {
  const get = <T>(path: string, property: string): Promise<T> => qmp.execute<T>('qom-get', { path, property });
  const [uuid, machine, cpus, dimms, memory, blocks, peripherals] = await Promise.all([
    qmp.execute<{ UUID: string }>('query-uuid'),
    get<string>('/machine', 'type'),
    qmp.execute<Hotpluggable[]>('query-hotpluggable-cpus'),
    qmp.execute<MemoryDevice[]>('query-memory-devices'),
    get<{ size: number; slots: number; 'max-size': number }>('/machine', 'memory'),
    qmp.execute<Block[]>('query-block'),
    qmp.execute<QomEntry[]>('qom-list', { path: '/machine/peripheral' }),
  ]);
  const names = peripherals.filter((p) => p.type.startsWith('child<')).map((p) => p.name);
  /** `/machine/peripheral/rp3/rp3`. Not `query-pci`: until firmware has numbered the buses it shows nothing behind a port. */
  const portOf = async (qdev: string): Promise<number> => {
    const bus = await get<string>(`/machine/peripheral/${qdev}`, 'parent_bus');
    return Number(/\/rp([0-9]+)$/.exec(bus)?.[1] ?? -1);
  };
  const byPath = new Map(recorded.disks.map((d) => [volumes(d.pool, d.volume), d]));

  const disk = async (id: string): Promise<Topology['disks'][number]> => {
    const path = `/machine/peripheral/disk-${id}`;
    const [serial, port] = await Promise.all([get<string>(path, 'serial'), portOf(`disk-${id}`)]);
    const inserted = blocks.find((b) => b.qdev?.startsWith(`${path}/`))?.inserted;
    const known = inserted && byPath.get(inserted.image.filename);
    return {
      id,
      port,
      serial,
      sizeMiB: Math.ceil((inserted?.image['virtual-size'] ?? 0) / MiB),
      format: inserted?.drv as 'raw' | 'qcow2',
      pool: known?.pool ?? '?',
      volume: known?.volume ?? inserted?.image.filename ?? '?',
      readOnly: inserted?.ro ?? false,
    };
  };
  const nic = async (id: string): Promise<Topology['nics'][number]> => ({
    id,
    port: await portOf(`nic-${id}`),
    mac: await get<string>(`/machine/peripheral/nic-${id}`, 'mac'),
    // Which network a tap is on is this host's business, not QEMU's.
    network: recorded.nics.find((n) => n.id === id)?.network ?? '?',
  });
  const serialPort = async (id: string): Promise<Topology['serialPorts'][number]> => {
    const path = `/machine/peripheral/port-${id}`;
    const [nr, name] = await Promise.all([get<number>(path, 'nr'), get<string>(path, 'name')]);
    return { id, nr, name };
  };
  const present = cpus.filter((c) => c['qom-path'] !== undefined);
  const hotplugged = present.filter((c) => c['qom-path']!.startsWith('/machine/peripheral/cpu-'));
  const misplaced = dimms.filter((d) => d.data.id && d.data.addr !== dimmAddress(recorded, d.data.id.slice(5)));
  if (misplaced.length > 0)
    throw new HypervisorError('hypervisor.topology_mismatch', "A DIMM is not at its slot's address", {
      dimms: misplaced.map((d) => d.data),
    });

  return {
    uuid: uuid.UUID,
    machine: machine.replace(/-machine$/, ''),
    cpuModel: present[0]?.type === cpuTypeName(recorded.cpuModel) ? recorded.cpuModel : (present[0]?.type ?? '?'),
    vcpus: {
      boot: present.length - hotplugged.length,
      max: cpus.length,
      plugged: hotplugged.map((c) => ({ id: c['qom-path']!.slice('/machine/peripheral/cpu-'.length), coreId: c.props['core-id']! })),
    },
    memory: {
      bootMiB: memory.size / MiB,
      slots: memory.slots,
      // QEMU is started with room for each slot; what a VM may have is policy, and recorded.
      maxMiB: memory['max-size'] / MiB === maxmemMiB(recorded) ? recorded.memory.maxMiB : memory['max-size'] / MiB,
      dimms: dimms.map((d) => ({ id: (d.data.id ?? '').slice('dimm-'.length), sizeMiB: d.data.size / MiB })),
    },
    rootPorts: prefixed(names, 'rp').length,
    disks: await Promise.all(prefixed(names, 'disk-').map(disk)),
    nics: await Promise.all(prefixed(names, 'nic-').map(nic)),
    serialPorts: await Promise.all(prefixed(names, 'port-').map(serialPort)),
    image: recorded.image,
  };
};

/** Where two topologies differ, for people: `disks.data.sizeMiB: 512 is 1024`. */
export const differences = (expected: unknown, actual: unknown, path = ''): string[] => {
  if (Array.isArray(expected) && Array.isArray(actual)) return differences(byId(expected), byId(actual), path);
  if (isObject(expected) && isObject(actual))
    return [...new Set([...Object.keys(expected), ...Object.keys(actual)])].flatMap((key) =>
      differences(expected[key], actual[key], path ? `${path}.${key}` : key),
    );
  return expected === actual ? [] : [`${path}: ${JSON.stringify(expected)} is ${JSON.stringify(actual)}`];
};
const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
const byId = (list: unknown[]): Record<string, unknown> =>
  Object.fromEntries(list.map((x, i) => [String((x as { id?: string }).id ?? i), x]));

export const assertObserved = (expected: Topology, actual: Topology): void => {
  if (topologyHash(expected) === topologyHash(actual)) return;
  const found = differences(expected, actual);
  throw new HypervisorError('hypervisor.topology_mismatch', `The hardware is not what was recorded: ${found.join('; ')}`, {
    differences: found,
  });
};
