import { randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { plugged, resized, topologyHash, unplugged } from '@chrysalis/contracts';
import type { Device, Topology } from '@chrysalis/contracts';
import type * as port from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import { Mutex } from '../mutex.ts';
import * as shape from '../shape.ts';
import { realClock } from './clock.ts';
import type { Clock } from './clock.ts';
import { Faults } from './faults.ts';
import type { Operation } from './faults.ts';
import { fileSystemBytes, SimulatedGuest } from './guest.ts';
import { MemoryLink } from './link.ts';
import type { Door, Link, Stream } from './link.ts';
import { preCopy } from './migration.ts';
import { SimulatedStore } from './state.ts';
import type { SimulatedVm } from './state.ts';

/** What the simulated hosts of one test, or one fleet, have in common. */
export class SimulatedWorld {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly link: Link;
  /** Volumes by `pool/name`; pools are shared between all hosts. */
  readonly volumes = new Map<string, number>();
  readonly bandwidthMiBps: number;
  readonly newBootId: () => string;

  constructor(o: { clock?: Clock; seed?: number; link?: Link; bandwidthMiBps?: number; newBootId?: () => string } = {}) {
    this.clock = o.clock ?? realClock;
    this.faults = new Faults(this.clock, o.seed ?? 1);
    this.link = o.link ?? new MemoryLink();
    this.bandwidthMiBps = o.bandwidthMiBps ?? 1024;
    this.newBootId = o.newBootId ?? randomUUID;
  }
}

export type SimulatedConfig = {
  readonly host: string;
  /** Where targets listen; the host's name for an in-memory link. */
  readonly address?: string;
  readonly world?: SimulatedWorld;
  /** VMs survive the driver here; give the same store again to adopt them. */
  readonly store?: SimulatedStore;
  readonly pools?: readonly string[];
  readonly networks?: readonly string[];
  readonly cpuModels?: readonly string[];
  readonly machineTypes?: readonly string[];
  /** Milliseconds that a boot and a plug take. */
  readonly bootMs?: number;
  readonly plugMs?: number;
};

type Exit = { readonly vmId: string; readonly lastWords: string };

/** VMs that are not there, with the answers, refusals and times of some that are. */
export class SimulatedDriver implements port.HypervisorDriver {
  readonly world: SimulatedWorld;
  private readonly config: SimulatedConfig;
  private readonly store: SimulatedStore;
  private readonly held = new Set<string>();
  private readonly gates = new Map<string, Mutex>();
  private readonly doors = new Map<string, Door>();
  private readonly migrating = new Map<string, { cancelled: boolean; done: Promise<unknown> }>();
  private readonly listeners = new Set<(exit: Exit) => void>();

  constructor(config: SimulatedConfig) {
    this.config = config;
    this.world = config.world ?? new SimulatedWorld();
    this.store = config.store ?? new SimulatedStore();
  }

  async facts(): Promise<port.DriverFacts> {
    const { pools, networks, cpuModels, machineTypes } = this.config;
    return {
      driver: 'simulated',
      accelerator: 'none',
      hypervisorVersion: 'simulated-1',
      cpuModels: [...(cpuModels ?? ['Nehalem', 'Westmere', 'SandyBridge', 'Haswell-noTSX'])],
      cpuBlockers: {},
      cpuHotUnplug: true,
      machineTypes: [...(machineTypes ?? [shape.DEFAULT_MACHINE])],
      storagePools: [...(pools ?? ['shared', 'packages'])],
      networks: [...(networks ?? ['lan'])],
    };
  }

  boot(spec: port.BootSpec): Promise<port.Shaped> {
    return this.gate(spec.vmId, async () => {
      const existing = this.find(spec.vmId);
      if (existing) return this.bootAgain(existing, spec.uuid);
      const topology = shape.initialTopology(spec);
      await this.assertHost(topology);
      await this.pass('boot', spec.vmId);
      await this.world.clock.sleep(this.config.bootMs ?? 5);
      for (const d of topology.disks) this.world.volumes.set(`${d.pool}/${d.volume}`, d.sizeMiB);
      const guest: SimulatedVm['guest'] = {
        bootId: this.world.newBootId(),
        bootedAtMs: this.world.clock.now(),
        onlineCpus: topology.vcpus.boot,
        onlineMiB: topology.memory.bootMiB,
        fileSystems: Object.fromEntries(topology.disks.map((d) => [d.id, fileSystemBytes(d.sizeMiB)])),
        dirtyMiBps: 8,
        unplug: 'agrees',
      };
      const console = `simulated guest, boot ${guest.bootId}\n`;
      this.keep({ vmId: spec.vmId, role: 'runner', state: 'running', topology, topologyHash: topologyHash(topology), guest, console });
      return this.shaped(spec.vmId);
    });
  }

  private bootAgain(vm: SimulatedVm, uuid: string): port.Shaped {
    if (vm.topology.uuid === uuid && vm.role === 'runner' && vm.state === 'running') return this.shaped(vm.vmId);
    throw new HypervisorError('hypervisor.vm_exists', `${vm.vmId} is on this host in another role, or ended`, { role: vm.role });
  }

  private async assertHost(t: Topology): Promise<void> {
    const facts = await this.facts();
    shape.assertMigratableCpu(t.cpuModel);
    shape.assertVersionedMachine(t.machine);
    if (!facts.cpuModels.includes(t.cpuModel))
      throw new HypervisorError('hypervisor.cpu_unsupported', `This host cannot give CPU model ${t.cpuModel}`, {
        missing: 'unknown model',
      });
    if (!facts.machineTypes.includes(t.machine))
      throw new HypervisorError('hypervisor.machine_unsupported', `No machine ${t.machine} here`);
    for (const d of t.disks) this.assertPool(d.pool);
    for (const n of t.nics) this.assertNetwork(n.network);
  }
  private assertPool(pool: string): void {
    if (!(this.config.pools ?? ['shared', 'packages']).includes(pool))
      throw new HypervisorError('hypervisor.pool_unknown', `No storage pool ${pool} on this host`, { pool });
  }
  private assertNetwork(network: string): void {
    if (!(this.config.networks ?? ['lan']).includes(network))
      throw new HypervisorError('hypervisor.network_unknown', `No network ${network} on this host`, { network });
  }

  async adopt(): Promise<port.VmStatus[]> {
    for (const vm of this.store.vms.values()) {
      this.held.add(vm.vmId);
      if (vm.state === 'inmigrate') await this.open(vm);
    }
    return Promise.all(this.list().map((vmId) => this.status(vmId)));
  }

  list(): readonly string[] {
    return [...this.held].sort();
  }

  async status(vmId: string): Promise<port.VmStatus> {
    const { role, state, topology, topologyHash: hash } = this.get(vmId);
    await this.pass('status', vmId);
    const running = state === 'running';
    return {
      vmId,
      role,
      state,
      running,
      migrating: this.migrating.has(vmId),
      topology,
      topologyHash: hash,
      ...(state === 'gone' ? { lastWords: '' } : {}),
    };
  }

  async topology(vmId: string): Promise<port.Shaped> {
    this.alive(vmId);
    return this.shaped(vmId);
  }

  async plug(vmId: string, device: Device): Promise<port.Shaped> {
    return this.exclusive(vmId, 'plug', async (vm) => {
      if (!shape.assertPlug(vm.topology, device)) return vm.topology;
      if (device.kind === 'disk') this.ensureVolume(device);
      if (device.kind === 'nic') this.assertNetwork(device.network);
      await this.world.clock.sleep(this.config.plugMs ?? 1);
      return plugged(vm.topology, device);
    });
  }

  private ensureVolume(disk: Extract<Device, { kind: 'disk' }>): void {
    this.assertPool(disk.pool);
    const key = `${disk.pool}/${disk.volume}`;
    if (this.world.volumes.has(key)) return;
    if (disk.readOnly && disk.pool !== 'packages')
      throw new HypervisorError('hypervisor.volume_missing', `No volume ${disk.volume} in pool ${disk.pool}`, { disk: disk.id });
    this.world.volumes.set(key, disk.sizeMiB);
  }

  async unplug(vmId: string, device: port.DeviceRef, deadlineMs: number): Promise<port.Shaped> {
    return this.exclusive(vmId, 'unplug', async (vm) => {
      if (!shape.assertUnplug(vm.topology, device)) return vm.topology;
      await this.askGuest(vm, device, deadlineMs);
      const after = unplugged(vm.topology, device);
      if (vm.guest && device.kind === 'cpu')
        vm.guest.onlineCpus = Math.min(vm.guest.onlineCpus, after.vcpus.boot + after.vcpus.plugged.length);
      if (vm.guest && device.kind === 'memory')
        vm.guest.onlineMiB = Math.min(
          vm.guest.onlineMiB,
          after.memory.dimms.reduce((sum, d) => sum + d.sizeMiB, after.memory.bootMiB),
        );
      return after;
    });
  }

  private async askGuest(vm: SimulatedVm, device: port.DeviceRef, deadlineMs: number): Promise<void> {
    const name = `${device.kind} ${device.id}`;
    if (vm.guest?.unplug === 'refuses')
      throw new HypervisorError('hypervisor.unplug_refused', `The guest refused to let go of ${name}`, { device });
    await this.world.clock.sleep(vm.guest?.unplug === 'silent' ? deadlineMs : (this.config.plugMs ?? 1));
    if (vm.guest?.unplug === 'silent')
      throw new HypervisorError('hypervisor.unplug_timeout', `The guest did not let go of ${name} in ${deadlineMs} ms`, {
        device,
        deadlineMs,
      });
  }

  async resizeDisk(vmId: string, disk: string, sizeMiB: number): Promise<port.Shaped> {
    return this.exclusive(vmId, 'resize-disk', async (vm) =>
      shape.assertResize(vm.topology, disk, sizeMiB) ? resized(vm.topology, disk, sizeMiB) : vm.topology,
    );
  }
  async plugSerialPort(vmId: string, serialPort: port.SerialPortSpec): Promise<port.Shaped> {
    return this.exclusive(vmId, 'serial-port', async ({ topology: t }) =>
      shape.assertSerialPlug(t, serialPort) ? { ...t, serialPorts: [...t.serialPorts, serialPort] } : t,
    );
  }
  async unplugSerialPort(vmId: string, id: string): Promise<port.Shaped> {
    return this.exclusive(vmId, 'serial-port', async ({ topology: t }) => ({
      ...t,
      serialPorts: t.serialPorts.filter((p) => p.id !== id),
    }));
  }
  /** Nothing ever comes out: a simulated guest is asked through `simulatedGuest`. */
  async openSerialPort(vmId: string, id: string): Promise<Duplex> {
    if (this.alive(vmId).topology.serialPorts.some((p) => p.id === id)) return new PassThrough({ readableHighWaterMark: 0 }).resume();
    throw new HypervisorError('hypervisor.device_unknown', `No serial port ${id}`, { id });
  }

  prepareTarget({ vmId, topology, topologyHash: hash }: port.PrepareTarget): Promise<{ migrationAddress: string }> {
    return this.gate(vmId, async () => {
      if (topologyHash(topology) !== hash)
        throw new HypervisorError('hypervisor.topology_mismatch', 'The topology is not the one that was hashed', {
          said: hash,
          is: topologyHash(topology),
        });
      const existing = this.find(vmId);
      if (existing) return this.prepareAgain(existing, hash);
      await this.assertHost(topology);
      await this.pass('prepare-target', vmId);
      const vm: SimulatedVm = { vmId, role: 'incoming', state: 'inmigrate', topology, topologyHash: hash, guest: undefined, console: '' };
      await this.open(vm);
      return { migrationAddress: vm.migrationAddress! };
    });
  }

  private prepareAgain(vm: SimulatedVm, hash: string): { migrationAddress: string } {
    if (vm.role === 'incoming' && vm.topologyHash === hash && vm.migrationAddress) return { migrationAddress: vm.migrationAddress };
    throw new HypervisorError('hypervisor.vm_exists', `${vm.vmId} is on this host in another role or shape`, {
      role: vm.role,
      topologyHash: vm.topologyHash,
    });
  }

  private async open(vm: SimulatedVm): Promise<void> {
    const door = await this.world.link.listen(this.config.address ?? this.config.host, (stream) => this.load(vm.vmId, stream));
    this.doors.set(vm.vmId, door);
    vm.migrationAddress = door.address;
    this.keep(vm);
  }

  private async load(vmId: string, stream: Stream): Promise<void> {
    const vm = this.get(vmId);
    await this.pass('migrate-load', vmId);
    if (stream.vmId !== vmId || stream.topologyHash !== vm.topologyHash || vm.state !== 'inmigrate')
      throw new HypervisorError('hypervisor.topology_mismatch', 'The stream is of another machine', {
        expected: vm.topologyHash,
        came: stream.topologyHash,
      });
    this.shut(vmId);
    this.keep({ ...vm, guest: stream.guest, state: 'paused' });
  }

  private shut(vmId: string): void {
    this.doors.get(vmId)?.close();
    this.doors.delete(vmId);
  }

  async migrate(vmId: string, request: port.MigrateRequest): Promise<port.MigrateOutcome> {
    const vm = this.alive(vmId);
    this.refuseWhileMigrating(vmId);
    if (!['running', 'paused'].includes(vm.state))
      throw new HypervisorError('hypervisor.not_ready', `A VM in state ${vm.state} cannot be migrated`, { state: vm.state });
    const flight = { cancelled: request.signal?.aborted ?? false, done: Promise.resolve() as Promise<unknown> };
    const abort = (): void => void (flight.cancelled = true);
    request.signal?.addEventListener('abort', abort);
    this.migrating.set(vmId, flight);
    const work = this.transfer(vm, request, () => flight.cancelled);
    flight.done = work.catch(() => undefined);
    try {
      return await work;
    } finally {
      this.migrating.delete(vmId);
      request.signal?.removeEventListener('abort', abort);
    }
  }

  private async transfer(vm: SimulatedVm, request: port.MigrateRequest, cancelled: () => boolean): Promise<port.MigrateOutcome> {
    const { clock, link } = this.world;
    const begun = clock.now();
    const was = vm.state;
    try {
      if (cancelled()) throw new HypervisorError('hypervisor.migration_cancelled', 'Cancelled before it began');
      await link.reachable(request.address);
      await this.pass('migrate', vm.vmId);
      const alive = (): Promise<void> => link.reachable(request.address);
      const sent = await preCopy(vm, request, { linkMiBps: this.world.bandwidthMiBps, clock, cancelled, alive });
      const stoppedAtUs = clock.now() * 1000;
      this.change(vm.vmId, { state: 'paused' });
      await clock.sleep(sent.lastPassMs);
      await link.send(request.address, { vmId: vm.vmId, topologyHash: vm.topologyHash, guest: vm.guest! });
      this.change(vm.vmId, { state: 'postmigrate' });
      const completedAtUs = clock.now() * 1000;
      const statistics = {
        totalMs: clock.now() - begun,
        qemuDowntimeMs: (completedAtUs - stoppedAtUs) / 1000,
        transferredBytes: sent.transferredBytes,
        iterations: sent.iterations,
      };
      return { outcome: 'completed', stoppedAtUs, completedAtUs, statistics: Promise.resolve(statistics) };
    } catch (error) {
      if (!(error instanceof HypervisorError) || !this.held.has(vm.vmId)) throw error;
      this.change(vm.vmId, { state: was });
      return { outcome: 'failed', cause: error, running: was === 'running' };
    }
  }

  async cancelMigration(vmId: string): Promise<void> {
    const flight = this.migrating.get(vmId);
    if (!flight) return;
    flight.cancelled = true;
    await flight.done;
  }

  async resume(vmId: string): Promise<{ resumedAtUs: number }> {
    return this.gate(vmId, async () => {
      const vm = this.alive(vmId);
      if (vm.role === 'runner' && vm.resumedAtUs !== undefined) return { resumedAtUs: vm.resumedAtUs };
      if (vm.role !== 'incoming' || vm.state !== 'paused')
        throw new HypervisorError('hypervisor.not_ready', 'The stream is not in', { state: vm.state, role: vm.role });
      await this.pass('resume', vmId);
      const resumedAtUs = this.world.clock.now() * 1000;
      this.change(vmId, { role: 'runner', state: 'running', resumedAtUs });
      return { resumedAtUs };
    });
  }

  async reclaim(vmId: string): Promise<{ resumedAtUs: number }> {
    return this.gate(vmId, async () => {
      const vm = this.alive(vmId);
      if (vm.role !== 'runner' || !['postmigrate', 'paused'].includes(vm.state))
        throw new HypervisorError('hypervisor.not_ready', `${vmId} was not given away: it is ${vm.state}`, { state: vm.state });
      await this.pass('reclaim', vmId);
      this.change(vmId, { state: 'running' });
      return { resumedAtUs: this.world.clock.now() * 1000 };
    });
  }

  destroy(vmId: string, { deleteVolumes }: { deleteVolumes: boolean }): Promise<void> {
    return this.gate(vmId, async () => {
      const vm = this.find(vmId);
      if (!vm) return;
      await this.pass('destroy', vmId);
      this.shut(vmId);
      this.held.delete(vmId);
      this.store.delete(vmId);
      if (!deleteVolumes || vm.role !== 'runner' || vm.state === 'postmigrate') return;
      for (const d of vm.topology.disks) if (!d.readOnly) this.world.volumes.delete(`${d.pool}/${d.volume}`);
    });
  }
  async deleteVolume(pool: string, volume: string): Promise<void> {
    this.assertPool(pool);
    this.world.volumes.delete(`${pool}/${volume}`);
  }

  async console(vmId: string): Promise<string> {
    return this.get(vmId).console;
  }
  simulatedGuest(vmId: string): SimulatedGuest {
    return new SimulatedGuest(
      () => this.get(vmId),
      this.world.clock,
      (vm) => this.keep(vm),
    );
  }

  /** For tests: the VM's process ends by itself. */
  crash(vmId: string): void {
    this.shut(vmId);
    this.change(vmId, { state: 'gone' });
    for (const listener of this.listeners) listener({ vmId, lastWords: 'simulated crash' });
  }
  onExit(listener: (exit: Exit) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async close(): Promise<void> {
    for (const vmId of [...this.doors.keys()]) this.shut(vmId);
    this.held.clear();
  }

  private pass(operation: Operation, vmId: string): Promise<void> {
    return this.world.faults.pass(operation, this.config.host, vmId);
  }
  private gate<T>(vmId: string, work: () => Promise<T>): Promise<T> {
    let gate = this.gates.get(vmId);
    if (!gate) this.gates.set(vmId, (gate = new Mutex()));
    return gate.run(work);
  }
  private exclusive(vmId: string, operation: Operation, work: (vm: SimulatedVm) => Promise<Topology>): Promise<port.Shaped> {
    this.alive(vmId);
    this.refuseWhileMigrating(vmId);
    return this.gate(vmId, async () => {
      const vm = this.alive(vmId);
      await this.pass(operation, vmId);
      const topology = await work(vm);
      this.change(vmId, { topology, topologyHash: topologyHash(topology) });
      return this.shaped(vmId);
    });
  }
  private refuseWhileMigrating(vmId: string): void {
    if (this.migrating.has(vmId)) throw new HypervisorError('hypervisor.migrating', `${vmId} is in a migration`, { vmId });
  }
  private find(vmId: string): SimulatedVm | undefined {
    return this.held.has(vmId) ? this.store.vms.get(vmId) : undefined;
  }
  private get(vmId: string): SimulatedVm {
    const vm = this.find(vmId);
    if (!vm) throw new HypervisorError('hypervisor.vm_unknown', `No VM ${vmId} on this host`, { vmId });
    return vm;
  }
  private alive(vmId: string): SimulatedVm {
    const vm = this.get(vmId);
    if (vm.state === 'gone') throw new HypervisorError('hypervisor.qemu_exited', `${vmId} ended: simulated crash`, { vmId });
    return vm;
  }
  private keep(vm: SimulatedVm): void {
    this.held.add(vm.vmId);
    this.store.save(vm);
  }
  private change(vmId: string, change: Partial<SimulatedVm>): void {
    this.keep({ ...this.get(vmId), ...change });
  }
  private shaped(vmId: string): port.Shaped {
    const { topology, topologyHash: hash } = this.get(vmId);
    return { topology, topologyHash: hash };
  }
}
