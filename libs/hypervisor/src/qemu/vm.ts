import { topologyHash } from '@chrysalis/contracts';
import type { Topology } from '@chrysalis/contracts';
import { Mutex } from 'async-mutex';
import type { Shaped } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { Happening } from '../lifecycle.ts';
import type { QmpClient } from '../qmp.ts';
import { QemuConsole } from './console.ts';
import { assertObserved, observe, observeChange } from './observe.ts';
import { isAlive, kill, lastWords, waitGone } from './process.ts';
import { writeRecord } from './state.ts';
import type { VmFiles, VmRecord } from './state.ts';
import type { Networks } from './tap.ts';
import type { Volumes } from './volumes.ts';

/** What a host has besides QEMU. */
export type HostParts = { readonly volumes: Volumes; readonly networks: Networks };

const GONE = new Set(['hypervisor.qmp_closed', 'hypervisor.qemu_exited']);

/** One VM of this host: its record, its files, and its monitor while its process lives. */
export class Vm {
  readonly files: VmFiles;
  readonly mutex = new Mutex();
  readonly parts: HostParts;
  readonly console: QemuConsole;
  record: VmRecord;
  /** Set while an outgoing migration runs: everything else but a cancel is refused then. */
  migrating: Promise<unknown> | undefined;
  /** Set while disks are copied for a migration that has not begun: ends that. */
  endCopy: (() => void) | undefined;
  /** A destroy has begun: its process' end is no news. */
  ending = false;
  /** The last that changed what it does; see lifecycle.ts. */
  happened: Happening | undefined;
  /** The last reset that was told; QEMU's clock. */
  resetAtUs: number | undefined;
  private monitor: QmpClient | undefined;

  /** `before`: the console of this VM's last life, whose log goes on. */
  constructor(files: VmFiles, record: VmRecord, parts: HostParts, before?: QemuConsole) {
    this.files = files;
    this.record = record;
    this.parts = parts;
    this.console = before ?? new QemuConsole(files);
  }

  get vmId(): string {
    return this.record.vmId;
  }
  get topology(): Topology {
    return this.record.topology;
  }
  get alive(): boolean {
    return this.record.process !== undefined && isAlive(this.record.process);
  }
  get qmp(): QmpClient {
    if (this.monitor && !this.monitor.isClosed) return this.monitor;
    throw new HypervisorError('hypervisor.qemu_exited', `No QEMU of ${this.vmId} answers on this host`, { vmId: this.vmId });
  }
  get connected(): boolean {
    return this.monitor !== undefined && !this.monitor.isClosed;
  }

  attach(qmp: QmpClient): void {
    this.monitor = qmp;
  }
  detach(): void {
    this.monitor?.close();
    this.monitor = undefined;
  }

  /** One operation at a time. During a migration QEMU refuses changes anyway; waiting for its end would act on a VM that left. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.refuseWhileMigrating();
    return this.mutex.runExclusive(async () => {
      this.refuseWhileMigrating();
      return this.explained(work);
    });
  }

  private refuseWhileMigrating(): void {
    if (this.migrating) throw new HypervisorError('hypervisor.migrating', `${this.vmId} is in a migration`, { vmId: this.vmId });
  }

  /** A monitor that closed under us is the symptom; what QEMU said when it ended is the cause. */
  async explained<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof HypervisorError) || !GONE.has(error.code)) throw error;
      if (this.record.process) await waitGone(this.record.process, 500);
      if (this.alive) throw error;
      const words = await lastWords(this.files.words);
      throw new HypervisorError('hypervisor.qemu_exited', `QEMU of ${this.vmId} ended: ${words || 'without a word'}`, { lastWords: words });
    }
  }

  async save(change: Partial<VmRecord>): Promise<void> {
    this.record = { ...this.record, ...change };
    await writeRecord(this.files, this.record);
  }

  saveTopology(topology: Topology): Promise<void> {
    return this.save({ topology, topologyHash: topologyHash(topology) });
  }

  get shaped(): Shaped {
    return { topology: this.record.topology, topologyHash: this.record.topologyHash };
  }

  observed(): Promise<Topology> {
    return observe(this.qmp, this.topology, this.volumePath);
  }

  /** Recorded only when QEMU shows exactly this: all of it where nothing is to be other than recorded, else what is. */
  async verified(expected: Topology): Promise<Shaped> {
    const changes = topologyHash(expected) !== this.record.topologyHash;
    const actual = await (changes ? observeChange(this.qmp, this.topology, expected, this.volumePath) : this.observed());
    assertObserved(expected, actual);
    if (changes) await this.saveTopology(expected);
    return this.shaped;
  }

  private readonly volumePath = (pool: string, volume: string): string => this.parts.volumes.path(pool, volume);

  /** `quit` lets QEMU write out its images; one that does not go is killed. True when the process is certainly gone. */
  async end(): Promise<boolean> {
    this.ending = true;
    const { process } = this.record;
    if (!process) return true;
    if (this.connected) {
      await this.qmp.execute('quit', {}, 1_000).catch(() => undefined);
      if (await waitGone(process, 2_000)) return true;
    }
    return kill(process);
  }
}
