import { ROOT_DISK, SEED_DISK, type Image, type Topology } from '@chrysalis/contracts';
import type * as port from '../driver.ts';
import { HypervisorError, noUefi } from '../errors.ts';
import { assertMigratableCpu, assertVersionedMachine } from '../shape.ts';
import { chooseAccelerator } from './accelerator.ts';
import { readFacts, takesPostCopy } from './facts.ts';
import { Fleet } from './fleet.ts';
import type { KernelFiles } from './command-line.ts';
import type { Launch } from './launch.ts';
import { quirksOf } from './quirks.ts';
import { Segments } from './segment/segments.ts';
import { Traces } from './traces/traces.ts';
import { Networks } from './tap.ts';
import type { Network } from './tap.ts';
import { DEBIAN_UEFI, uefiThere, type UefiFiles } from './uefi.ts';
import { Volumes } from './volumes.ts';
import type { CopyDisk, Pool } from './volumes.ts';

export type QemuConfig = {
  /** Records, sockets and logs of this host's VMs. One driver at a time. */
  readonly stateDir: string;
  /** Where other hosts reach this one: targets listen there. */
  readonly address: string;
  readonly pools: Readonly<Record<string, Pool>>;
  readonly networks: Readonly<Record<string, Network>>;
  /** The files of an image of kind `kernel` in this host's store. */
  readonly resolveImage: (image: Image) => Promise<KernelFiles>;
  /** Writes out the disk of an image of kind `disk`. */
  readonly copyDisk?: CopyDisk;
  readonly accelerator?: 'kvm' | 'tcg';
  readonly qemu?: string;
  /** UEFI for VMs; Debian's where nothing is said. */
  readonly uefi?: UefiFiles;
};

/** A host with QEMU: what it has, and what it can give. */
export class QemuHost {
  protected readonly config: QemuConfig;
  protected readonly qemu: string;
  private readonly uefi: UefiFiles;
  protected readonly volumes: Volumes;
  protected readonly networks: Networks;
  protected readonly fleet: Fleet;
  protected readonly found: Traces;
  protected read: Promise<port.DriverFacts> | undefined;

  constructor(config: QemuConfig) {
    this.config = config;
    this.qemu = config.qemu ?? 'qemu-system-x86_64';
    this.uefi = config.uefi ?? DEBIAN_UEFI;
    this.volumes = new Volumes(config.pools, this.qemu);
    this.networks = new Networks(config.networks, new Segments(config.stateDir, config.address));
    this.fleet = new Fleet(config.stateDir, { volumes: this.volumes, networks: this.networks });
    this.found = new Traces({ ...config, fleet: this.fleet, volumes: this.volumes, networks: this.networks });
  }

  facts(): Promise<port.DriverFacts> {
    this.read ??= this.readFacts();
    this.read.catch(() => (this.read = undefined));
    return this.read;
  }

  protected async readFacts(): Promise<port.DriverFacts> {
    const accelerator = this.config.accelerator ?? (await chooseAccelerator(this.qemu));
    const { version, cpuModels, cpuBlockers, machineTypes, mappedRam } = await readFacts(this.qemu, accelerator);
    const { names: storagePools } = this.volumes;
    return {
      driver: 'qemu',
      accelerator,
      hypervisorVersion: version,
      cpuModels,
      cpuBlockers,
      cpuHotUnplug: quirksOf(accelerator).cpuHotUnplug,
      methods: [
        'pre-copy',
        ...((await takesPostCopy(this.qemu, accelerator)) ? (['post-copy'] as const) : []),
        'save-and-restore',
        'restart',
      ],
      ...(mappedRam ? { mappedRam } : {}),
      machineTypes,
      storagePools,
      networks: this.networks.names,
      segments: await this.networks.segments.facts(),
      firmware: (await uefiThere(this.uefi)) ? ['bios', 'uefi'] : ['bios'],
    };
  }

  /** True when it was made now. The root disk of a VM that boots from one begins as a copy of the image. */
  protected ensureVolume(
    { image }: Topology,
    disk: Topology['disks'][number],
    { seed, signal, allocation }: port.BootSpec,
  ): Promise<boolean> {
    if (seed && disk.id === SEED_DISK) return this.volumes.replace(disk, seed.file);
    const full = allocation === 'full';
    if (!image.disk || disk.id !== ROOT_DISK) return this.volumes.ensure(disk, full);
    const { copyDisk } = this.config;
    if (copyDisk) return this.volumes.ensureOf(image, disk, copyDisk, { signal, full });
    throw new HypervisorError('hypervisor.volume_failed', 'This host was given no way to disk images', { disk: disk.id });
  }

  /** Of a VM that comes here: disks to be filled by its source. None is left where it does not come up. */
  protected async withCopies<T>({ disks, uefi }: Topology, copies: port.PrepareTarget['copies'], work: () => Promise<T>): Promise<T> {
    const made: { pool: string; volume: string }[] = [];
    try {
      for (const volume of copies?.volumes ?? []) {
        const disk = disks.find((d) => d.volume === volume);
        const file = disk ?? (uefi?.volume === volume ? uefi : undefined);
        if (!file) throw new HypervisorError('hypervisor.volume_missing', `The VM has no volume ${volume}`, { volume });
        await this.volumes.discard(file.pool, volume);
        made.push(file);
        await (disk
          ? this.volumes.ensure({ ...disk, readOnly: false }, copies!.allocation === 'full')
          : this.ensureVariables({ uefi } as Topology));
      }
      return await work();
    } catch (error) {
      for (const { pool, volume } of made) await this.volumes.delete(pool, volume);
      throw error;
    }
  }

  /** As the vendor gives them, at first. True when the file was made now. */
  protected async ensureVariables({ uefi }: Topology): Promise<boolean> {
    return uefi !== undefined && this.volumes.ensureCopy(uefi, (await this.uefiFiles()).variables);
  }

  private async uefiFiles(): Promise<UefiFiles> {
    if (await uefiThere(this.uefi)) return this.uefi;
    throw noUefi();
  }

  protected async how(topology: Topology, incoming: boolean): Promise<Launch> {
    const { accelerator, cpuModels, cpuBlockers } = await this.facts();
    assertMigratableCpu(topology.cpuModel);
    assertVersionedMachine(topology.machine);
    if (!cpuModels.includes(topology.cpuModel))
      throw new HypervisorError('hypervisor.cpu_unsupported', `This host cannot give CPU model ${topology.cpuModel}`, {
        missing: cpuBlockers[topology.cpuModel] ?? 'unknown model',
      });
    // A VM that has a root disk needs its image no more, here or anywhere.
    const kernel = topology.image.disk ? undefined : await this.config.resolveImage(topology.image);
    const uefi = topology.uefi && (await this.uefiFiles()).code;
    return { qemu: this.qemu, accelerator: accelerator === 'kvm' ? 'kvm' : 'tcg', kernel, uefi, incoming };
  }
}
