import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { topologyHash } from '@chrysalis/contracts';
import type { Topology } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import { Lifecycles } from '../lifecycle.ts';
import { Mutexes } from '../mutexes.ts';
import { abandonCopies } from './copy/source.ts';
import { followLateUnplugs } from './hotplug.ts';
import { connect, endProcess, launch, tearDown } from './launch.ts';
import type { Launch } from './launch.ts';
import { followLifecycle, tellEnd } from './lifecycle.ts';
import { inFlight, queryStatus } from './migration.ts';
import { differences } from './observe.ts';
import { lastWords, waitGone } from './process.ts';
import { continueSaved } from './save.ts';
import { processOf, readRecord, recordedVms, sweepTemporary, VmFiles } from './state.ts';
import type { VmRecord } from './state.ts';
import { Vm } from './vm.ts';
import type { HostParts } from './vm.ts';

/** Between the end of its sockets and its own; where a core dump is written it takes longer, and is looked at again. */
const EXIT_MS = 500;

export type Exit = { readonly vmId: string; readonly lastWords: string };

/** The VMs of this host, in memory and in the state directory. */
export class Fleet {
  private readonly vms = new Map<string, Vm>();
  private readonly gates = new Mutexes();
  private readonly listeners = new Set<(exit: Exit) => void>();
  readonly lifecycles = new Lifecycles();
  private readonly stateDir: string;
  private readonly parts: HostParts;

  constructor(stateDir: string, parts: HostParts) {
    this.stateDir = stateDir;
    this.parts = parts;
  }

  list(): string[] {
    return [...this.vms.keys()].sort();
  }
  find(vmId: string): Vm | undefined {
    return this.vms.get(vmId);
  }
  get(vmId: string): Vm {
    const vm = this.vms.get(vmId);
    if (!vm) throw new HypervisorError('hypervisor.vm_unknown', `No VM ${vmId} on this host`, { vmId });
    return vm;
  }

  /** Making and unmaking a VM, one at a time per id. */
  gate<T>(vmId: string, work: () => Promise<T>): Promise<T> {
    return this.gates.run(vmId, work);
  }

  /** A new VM; nothing of it is left when it does not come up. */
  async create(vmId: string, role: VmRecord['role'], topology: Topology, how: Launch, then: (vm: Vm) => Promise<void>): Promise<Vm> {
    const files = new VmFiles(this.stateDir, vmId);
    files.make();
    const vm = new Vm(files, { v: 1, vmId, role, topology, topologyHash: topologyHash(topology) }, this.parts);
    try {
      await vm.save({});
      await vm.explained(async () => {
        await launch(vm, how);
        await then(vm);
      });
    } catch (error) {
      // What could not be taken down keeps its record, and is found by the next adoption.
      await tearDown(vm).catch(() => undefined);
      throw error;
    }
    this.vms.set(vmId, vm);
    this.follow(vm);
    return vm;
  }

  /** A VM that is to be started here: seen to start as one that waits does, which touches no disk, and ended again. */
  async createCold(vmId: string, topology: Topology, how: Launch): Promise<Vm> {
    const files = new VmFiles(this.stateDir, vmId);
    files.make();
    const vm = new Vm(files, { v: 1, vmId, role: 'incoming', cold: true, topology, topologyHash: topologyHash(topology) }, this.parts);
    try {
      await vm.save({});
      await vm.explained(() => launch(vm, { ...how, incoming: true }));
      return await this.withoutProcess(vm);
    } catch (error) {
      await tearDown(vm).catch(() => undefined);
      throw error;
    }
  }

  /** Ends what stands there, and keeps the VM as it is to be started. */
  async withoutProcess(vm: Vm): Promise<Vm> {
    await endProcess(vm);
    const { process: _, haltedAtUs: __, ...record } = vm.record;
    const next = this.replace(vm, record);
    await next.save({});
    return next;
  }

  /** Ends the process and keeps the VM. That it is meant to be off is on disk before, so that its end is never taken for a crash. */
  async halt(vm: Vm): Promise<void> {
    if (vm.record.haltedAtUs === undefined) await vm.save({ haltedAtUs: Date.now() * 1000 });
    await endProcess(vm);
    const { process: _, resumedAtUs: __, migrationAddress: ___, ...record } = vm.record;
    await this.replace(vm, record).save({});
  }

  /** A new process of a VM that has none. Where it does not come up the VM is halted. */
  async restart(off: Vm, how: Launch, then: (vm: Vm) => Promise<void>): Promise<Vm> {
    const { process: _, resumedAtUs: __, migrationAddress: ___, haltedAtUs: ____, ...record } = off.record;
    const vm = this.replace(off, record);
    vm.files.make();
    await rm(vm.files.words, { force: true }); // of the life before: an end of this one is not told from them
    try {
      await vm.explained(async () => {
        await launch(vm, how);
        await then(vm);
      });
    } catch (error) {
      await this.halt(vm);
      throw error;
    }
    this.follow(vm);
    return vm;
  }

  /** Another life of the VM: what is still to come of the one before is not this one's. */
  private replace(before: Vm, record: VmRecord): Vm {
    before.ending = true;
    const vm = new Vm(before.files, record, this.parts, before.console);
    this.vms.set(vm.vmId, vm);
    return vm;
  }

  /** Every VM of the state directory that we do not hold yet. One whose process is gone is kept, so that it can be told and destroyed. */
  async adopt(): Promise<Vm[]> {
    sweepTemporary();
    for (const vmId of recordedVms(this.stateDir)) await this.gate(vmId, () => this.adoptOne(vmId));
    return [...this.vms.values()];
  }

  private async adoptOne(vmId: string): Promise<void> {
    if (this.vms.has(vmId)) return;
    const files = new VmFiles(this.stateDir, vmId);
    const record = readRecord(files);
    // We died before the first record: no QEMU was started.
    if (!record) return files.remove();
    const { process: _, ...rest } = record;
    const process = processOf(files, record);
    const { haltedAtUs: _halted, ...running } = rest; // one that runs has been started since, or is about to be halted by who comes again
    const vm = new Vm(files, process ? { ...running, process } : rest, this.parts);
    this.vms.set(vmId, vm);
    if (!process) return;
    await connect(vm);
    await vm.save({ process });
    await vm.console.takeOver(vm.qmp).catch(() => undefined); // a VM without a console is one still
    if (record.saving) await this.endSave(vm);
    else if (record.role === 'runner') await this.followMigration(vm);
    await this.acceptDrift(vm);
    await acceptState(vm);
    this.follow(vm);
  }

  /** An earlier life ended in the middle of a save: the guest may stand still. One that does not come back at once is seen to further. */
  private async endSave(vm: Vm): Promise<void> {
    vm.migrating = continueSaved(vm)
      .catch(() => undefined)
      .finally(() => (vm.migrating = undefined));
    await Promise.race([vm.migrating, sleep(5_000, undefined, { ref: false })]);
  }

  /** While nobody looked a guest may have let go of a device (a late unplug): what QEMU shows is so. */
  private async acceptDrift(vm: Vm): Promise<void> {
    const actual = await vm.observed();
    if (topologyHash(actual) !== vm.record.topologyHash && differences(vm.topology, actual).length > 0) await vm.saveTopology(actual);
  }

  private follow(vm: Vm): void {
    followLateUnplugs(vm);
    followLifecycle(vm, this.lifecycles);
    void vm.qmp.closed.then(() => this.lost(vm));
  }

  /**
   * Its monitor is gone. Mostly its process is, too: that is told. One whose process runs on is taken again, or nothing of it would be
   * seen or done any more.
   */
  private async lost(vm: Vm): Promise<void> {
    const ours = (): boolean => !vm.ending && this.vms.get(vm.vmId) === vm;
    const { process } = vm.record;
    // A process lets go of its sockets before it is gone: at that moment it looks alive.
    while (process && ours() && !(await waitGone(process, EXIT_MS))) if (await this.takeAgain(vm)) return;
    if (!ours()) return;
    await tellEnd(vm, this.lifecycles);
    const words = await lastWords(vm.files.words);
    for (const listener of this.listeners) listener({ vmId: vm.vmId, lastWords: words });
  }

  private async takeAgain(vm: Vm): Promise<boolean> {
    try {
      await connect(vm);
      vm.happened = undefined; // what was missed is not known; `query-status` is
      this.follow(vm); // at once: what happens from its connection on is told
      // One of which that is not known is no better off than without a monitor: its end has it taken again.
      if (vm.record.role === 'runner' && !vm.record.saving) await this.followMigration(vm).catch(() => vm.qmp.close());
      return true;
    } catch {
      return false;
    }
  }

  private async followMigration(vm: Vm): Promise<void> {
    const flight = await inFlight(vm.qmp);
    // Copies of disks that an earlier life began: with the migration they were for they end, and where it never began at once.
    if (!flight) return abandonCopies(vm);
    vm.migrating = flight.ended.then(() => abandonCopies(vm)).catch(() => undefined).finally(() => (vm.migrating = undefined)); // prettier-ignore
  }

  destroy(vm: Vm): Promise<void> {
    // A migration holds the VM's mutex until its process ends: the process first, then what is left.
    vm.ending = true;
    const now = vm.migrating ? vm.end() : Promise.resolve(true);
    return now.then(() =>
      vm.mutex.runExclusive(async () => {
        await tearDown(vm);
        this.vms.delete(vm.vmId);
      }),
    );
  }

  onExit(listener: (exit: Exit) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async close(): Promise<void> {
    const held = [...this.vms.values()];
    for (const vm of held) vm.ending = true;
    await Promise.all(held.map((vm) => vm.console.release(vm.connected ? vm.qmp : undefined)));
    for (const vm of held) vm.detach();
    this.vms.clear();
  }
}

/** The stream went to its end while nobody looked: these disks are another host's now. */
const acceptState = async (vm: Vm): Promise<void> => {
  if (!vm.record.saving && (await queryStatus(vm.qmp))?.status === 'postmigrate') await vm.save({ givenAway: true });
};
