import type { Topology } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import type { QmpClient } from '../qmp.ts';
import { cpuTypeName, dimmAddress, FLASH_VARIABLES } from './command-line.ts';

const MiB = 1024 * 1024;
type QomEntry = { name: string; type: string };
type Hotpluggable = { type: string; props: Record<string, number>; 'qom-path'?: string };
type MemoryDevice = { type: string; data: { id?: string; size: number; slot: number; addr: number } };
type Block = {
  qdev?: string;
  inserted?: { 'node-name'?: string; drv: string; ro: boolean; image: { filename: string; 'virtual-size': number } };
};
type Disk = Topology['disks'][number];
type Nic = Topology['nics'][number];
type SerialPort = Topology['serialPorts'][number];

export type Volumes = (pool: string, volume: string) => string;

/** One question to QEMU each; those of one moment go out together. What a guest can see is read, the rest is taken from the record. */
export class Readings {
  private blocks: Promise<Block[]> | undefined;

  constructor(
    private readonly qmp: QmpClient,
    private readonly recorded: Topology,
    private readonly volumes: Volumes,
  ) {}

  get<T>(path: string, property: string): Promise<T> {
    return this.qmp.execute<T>('qom-get', { path, property });
  }

  async peripherals(): Promise<string[]> {
    const entries = await this.qmp.execute<QomEntry[]>('qom-list', { path: '/machine/peripheral' });
    return entries.filter((p) => p.type.startsWith('child<')).map((p) => p.name);
  }

  async cpus(): Promise<Pick<Topology, 'cpuModel' | 'vcpus'>> {
    const cpus = await this.qmp.execute<Hotpluggable[]>('query-hotpluggable-cpus');
    const present = cpus.filter((c) => c['qom-path'] !== undefined);
    const hotplugged = present.filter((c) => c['qom-path']!.startsWith('/machine/peripheral/cpu-'));
    const { cpuModel } = this.recorded;
    return {
      cpuModel: present[0]?.type === cpuTypeName(cpuModel) ? cpuModel : (present[0]?.type ?? '?'),
      vcpus: {
        boot: present.length - hotplugged.length,
        max: cpus.length,
        plugged: hotplugged.map((c) => ({ id: c['qom-path']!.slice('/machine/peripheral/cpu-'.length), coreId: c.props['core-id']! })),
      },
    };
  }

  async dimms(): Promise<Topology['memory']['dimms']> {
    const dimms = await this.qmp.execute<MemoryDevice[]>('query-memory-devices');
    const misplaced = dimms.filter((d) => d.data.id && d.data.addr !== dimmAddress(this.recorded, d.data.id.slice(5)));
    if (misplaced.length > 0)
      throw new HypervisorError('hypervisor.topology_mismatch', "A DIMM is not at its slot's address", {
        dimms: misplaced.map((d) => d.data),
      });
    return dimms.map((d) => ({ id: (d.data.id ?? '').slice('dimm-'.length), sizeMiB: d.data.size / MiB }));
  }

  async disk(id: string): Promise<Disk> {
    const path = `/machine/peripheral/disk-${id}`;
    this.blocks ??= this.qmp.execute<Block[]>('query-block');
    const [blocks, serial, port] = await Promise.all([this.blocks, this.get<string>(path, 'serial'), this.portOf(`disk-${id}`)]);
    const inserted = blocks.find((b) => b.qdev?.startsWith(`${path}/`))?.inserted;
    return {
      id,
      port,
      serial,
      sizeMiB: Math.ceil((inserted?.image['virtual-size'] ?? 0) / MiB),
      format: inserted?.drv as 'raw' | 'qcow2',
      ...this.volumeOf(inserted?.image.filename),
      readOnly: inserted?.ro ?? false,
    };
  }

  /** What is asked for needs an answer only where it is recorded: a VM is started with it, and none gets it later. */
  async uefi(): Promise<Topology['uefi']> {
    const { uefi } = this.recorded;
    if (!uefi) return undefined;
    this.blocks ??= this.qmp.execute<Block[]>('query-block');
    const flash = (await this.blocks).find((b) => b.inserted?.['node-name'] === FLASH_VARIABLES)?.inserted;
    const there = flash && !flash.ro && (await this.get<string>('/machine', 'pflash1')) === FLASH_VARIABLES;
    if (!there) return undefined;
    const { filename } = flash.image;
    return this.volumes(uefi.pool, uefi.volume) === filename ? uefi : { pool: '?', volume: filename };
  }

  private volumeOf(filename: string | undefined): Pick<Disk, 'pool' | 'volume'> {
    const { pool, volume } = this.recorded.disks.find((d) => this.volumes(d.pool, d.volume) === filename) ?? {};
    return { pool: pool ?? '?', volume: volume ?? filename ?? '?' };
  }

  async nic(id: string): Promise<Nic> {
    const [port, mac] = await Promise.all([this.portOf(`nic-${id}`), this.get<string>(`/machine/peripheral/nic-${id}`, 'mac')]);
    // Which network a tap is on is this host's business, not QEMU's.
    const { network = '?', segment } = this.recorded.nics.find((n) => n.id === id) ?? {};
    return { id, port, mac, network, ...(segment ? { segment } : {}) };
  }

  async serialPort(id: string): Promise<SerialPort> {
    const path = `/machine/peripheral/port-${id}`;
    const [nr, name] = await Promise.all([this.get<number>(path, 'nr'), this.get<string>(path, 'name')]);
    return { id, nr, name };
  }

  /** `/machine/peripheral/rp3/rp3`. Not `query-pci`: until firmware has numbered the buses it shows nothing behind a port. */
  private async portOf(qdev: string): Promise<number> {
    const bus = await this.get<string>(`/machine/peripheral/${qdev}`, 'parent_bus');
    return Number(/\/rp([0-9]+)$/.exec(bus)?.[1] ?? -1);
  }
}
