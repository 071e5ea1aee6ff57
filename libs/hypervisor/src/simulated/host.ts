import { memoryMiBOf, topologyHash } from '@chrysalis/contracts';
import type { Topology } from '@chrysalis/contracts';
import type * as port from '../driver.ts';
import { HypervisorError, noUefi } from '../errors.ts';
import { happenings, Lifecycles, type GuestReading, type GuestState, type Happening, type LifecycleEvent } from '../lifecycle.ts';
import { Mutexes } from '../mutexes.ts';
import * as shape from '../shape.ts';
import type { SimulatedConsole } from './console.ts';
import type { Operation } from './faults.ts';
import type { Door, Stream } from './link.ts';
import { copyDisks, filled } from './copy.ts';
import { preCopy, type PreCopy } from './migration.ts';
import { sentFor, type SimulatedRest } from './post-copy.ts';
import { beforeSave, writeSave } from './save.ts';
import { SimulatedSegments } from './segments.ts';
import { SimulatedStore } from './state.ts';
import type { SimulatedVm } from './state.ts';
import { SimulatedVolumes } from './volumes.ts';
import { SimulatedWorld } from './world.ts';
import { keepState, writeMemory } from './suspend.ts';
import type { SimulatedConfig } from './world.ts';

const states: Partial<Record<SimulatedVm['state'], GuestState>> = {
  running: 'running',
  paused: 'paused',
  'io-error': 'io-error',
  'guest-panicked': 'panicked',
};
type Exit = { readonly vmId: string; readonly lastWords: string };

/** A simulated host: its VMs, its doors, what it refuses, and how a state goes over. */
export class SimulatedHost {
  readonly world: SimulatedWorld;
  protected readonly config: SimulatedConfig;
  protected readonly store: SimulatedStore;
  protected readonly held = new Set<string>();
  protected readonly volumes: SimulatedVolumes;
  protected readonly gates = new Mutexes();
  protected readonly doors = new Map<string, Door>();
  protected readonly migrating = new Map<string, { cancelled: boolean; done: Promise<unknown> }>();
  protected readonly listeners = new Set<(exit: Exit) => void>();
  protected readonly lifecycles = new Lifecycles();
  protected readonly segmentParts = new SimulatedSegments(() => this.topologiesHere());
  protected readonly consoles = new Map<string, SimulatedConsole>();

  constructor(config: SimulatedConfig) {
    this.config = config;
    this.world = config.world ?? new SimulatedWorld();
    this.store = config.store ?? new SimulatedStore();
    this.volumes = new SimulatedVolumes(this.world.volumes, config.poolDirectories, { host: config.host, pools: config.localPools ?? [] });
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
      methods: ['pre-copy', 'post-copy', 'save-and-restore', 'restart'],
      machineTypes: [...(machineTypes ?? [shape.DEFAULT_MACHINE])],
      storagePools: [...(pools ?? ['shared', 'packages'])],
      networks: [...(networks ?? ['lan'])],
      segments: { mtu: 1_450, lacking: [] },
      firmware: this.config.firmware ?? ['bios', 'uefi'],
    };
  }

  protected async assertHost(t: Topology): Promise<void> {
    const facts = await this.facts();
    shape.assertMigratableCpu(t.cpuModel);
    shape.assertVersionedMachine(t.machine);
    if (!facts.cpuModels.includes(t.cpuModel))
      throw new HypervisorError('hypervisor.cpu_unsupported', `This host cannot give CPU model ${t.cpuModel}`, {
        missing: 'unknown model',
      });
    if (!facts.machineTypes.includes(t.machine))
      throw new HypervisorError('hypervisor.machine_unsupported', `No machine ${t.machine} here`);
    if (t.uefi && !facts.firmware?.includes('uefi')) throw noUefi();
    for (const d of t.disks) this.assertPool(d.pool);
    for (const n of t.nics) if (!n.segment) this.assertNetwork(n.network);
  }
  protected assertPool(pool: string): void {
    if (!(this.config.pools ?? ['shared', 'packages']).includes(pool))
      throw new HypervisorError('hypervisor.pool_unknown', `No storage pool ${pool} on this host`, { pool });
  }
  protected assertNetwork(network: string): void {
    if (!(this.config.networks ?? ['lan']).includes(network))
      throw new HypervisorError('hypervisor.network_unknown', `No network ${network} on this host`, { network });
  }

  protected async open(vm: SimulatedVm): Promise<void> {
    const door = await this.world.link.listen(this.config.address ?? this.config.host, (stream) => this.load(vm.vmId, stream));
    this.doors.set(vm.vmId, door);
    vm.migrationAddress = door.address;
    this.keep(vm);
  }

  protected async load(vmId: string, stream: Stream): Promise<void> {
    const vm = this.get(vmId);
    await this.pass('migrate-load', vmId);
    if (stream.rest === 'there' && stream.vmId === vmId && vm.rest) {
      this.shut(vmId);
      return this.change(vmId, { rest: { is: 'whole' } });
    }
    if (stream.vmId !== vmId || stream.topologyHash !== vm.topologyHash || vm.state !== 'inmigrate')
      throw new HypervisorError('hypervisor.topology_mismatch', 'The stream is of another machine', {
        expected: vm.topologyHash,
        came: stream.topologyHash,
      });
    filled(this.volumes, vm.topology, stream.copied ?? []);
    if (!stream.rest) this.shut(vmId);
    this.keep({ ...vm, guest: stream.guest, state: 'paused', ...(stream.rest ? { rest: { is: 'sending' } } : {}) });
  }

  /** What is left of a memory, as long as its target can be reached. */
  protected async sendRest(vmId: string): Promise<void> {
    const { clock, link } = this.world;
    for (let before = this.sending(vmId); before; before = this.sending(vmId)) {
      await clock.sleep(REST_TICK_MS);
      if (this.sending(vmId) !== before) return; // another sends it, or it ended
      const { topologyHash: hash, guest } = this.get(vmId);
      let after: SimulatedRest;
      try {
        await this.pass('migrate-rest', vmId);
        after = sentFor(before, REST_TICK_MS);
        const { address } = before.from!;
        const stream = { vmId, topologyHash: hash, guest: guest!, rest: 'there' as const };
        await (after.is === 'whole' ? link.send(address, stream) : link.reachable(address));
      } catch {
        after = { ...before, is: 'cut' };
      }
      if (this.sending(vmId) === before) this.change(vmId, { rest: after });
    }
  }
  private sending(vmId: string): SimulatedRest | undefined {
    const vm = this.find(vmId);
    return vm && vm.state !== 'gone' && vm.rest?.is === 'sending' && vm.rest.from ? vm.rest : undefined;
  }

  protected shut(vmId: string): void {
    this.doors.get(vmId)?.close();
    this.doors.delete(vmId);
  }

  protected async transfer(vm: SimulatedVm, request: port.MigrateRequest, cancelled: () => boolean): Promise<port.MigrateOutcome> {
    const { clock, link } = this.world;
    const begun = clock.now();
    const was = vm.state;
    try {
      if (cancelled()) throw new HypervisorError('hypervisor.migration_cancelled', 'Cancelled before it began');
      await link.reachable(request.address);
      await this.pass('migrate', vm.vmId);
      const alive = async (): Promise<void> => {
        this.stillFlying(vm.vmId, was);
        await link.reachable(request.address);
      };
      const way = { linkMiBps: this.world.bandwidthMiBps, clock, cancelled, alive };
      const disks = await copyDisks(vm, request, way);
      const beside = (p: port.MigrationProgress): void =>
        request.onProgress?.({ ...p, bytesTotal: p.bytesTotal + disks, bytesTransferred: p.bytesTransferred + disks });
      const sent = await preCopy(vm, { ...request, onProgress: beside }, way);
      const stoppedAtUs = clock.now() * 1000;
      this.stillFlying(vm.vmId, was);
      this.change(vm.vmId, { state: 'paused' });
      await clock.sleep(sent.lastPassMs);
      const { guest } = this.stillFlying(vm.vmId, 'paused'); // as it is now: it may have restarted meanwhile
      await link.send(request.address, {
        vmId: vm.vmId,
        topologyHash: vm.topologyHash,
        guest: guest!,
        copied: request.copies?.volumes ?? [],
        ...(sent.left === undefined ? {} : { rest: 'follows' as const }),
      });
      this.stillFlying(vm.vmId, 'paused');
      const rest = restAfter(vm, request, sent, this.world.bandwidthMiBps);
      this.change(vm.vmId, { state: 'postmigrate', ...rest });
      if (rest.rest) void this.sendRest(vm.vmId);
      const completedAtUs = clock.now() * 1000;
      const statistics = {
        totalMs: clock.now() - begun,
        qemuDowntimeMs: (completedAtUs - stoppedAtUs) / 1000,
        transferredBytes: sent.transferredBytes + disks,
        iterations: sent.iterations,
      };
      return { outcome: 'completed', stoppedAtUs, completedAtUs, statistics: Promise.resolve(statistics) };
    } catch (error) {
      if (!(error instanceof HypervisorError) || !this.held.has(vm.vmId)) throw error;
      const { state } = this.alive(vm.vmId); // of a process that is gone nothing is brought back: that throws
      if (state === 'paused') this.change(vm.vmId, { state: was });
      return { outcome: 'failed', cause: error, running: this.get(vm.vmId).state === 'running' };
    }
  }

  /** A guest that powered itself off, or stands still at an error, does not go on because a stream does. */
  private stillFlying(vmId: string, state: SimulatedVm['state']): SimulatedVm {
    const vm = this.alive(vmId);
    if (vm.state === state) return vm;
    throw new HypervisorError('hypervisor.migration_failed', `The guest is ${vm.state} in the middle of its migration`, {
      state: vm.state,
    });
  }

  protected async toFile(vm: SimulatedVm, request: port.SuspendRequest, cancelled: () => boolean): Promise<port.Suspended> {
    const { clock } = this.world;
    const begun = clock.now();
    try {
      await this.pass('suspend', vm.vmId);
      this.change(vm.vmId, { state: 'paused' });
      const alive = async (): Promise<void> => void this.stillFlying(vm.vmId, 'paused');
      const bytes = await writeMemory(vm, request, { linkMiBps: this.world.bandwidthMiBps, clock, cancelled, alive });
      const saved = keepState(this.volumes, this.stillFlying(vm.vmId, 'paused'), request);
      this.change(vm.vmId, { state: 'postmigrate' });
      const [stoppedAtUs, completedAtUs] = [begun * 1000, clock.now() * 1000];
      const qemuDowntimeMs = (completedAtUs - stoppedAtUs) / 1000;
      const statistics = { totalMs: qemuDowntimeMs, qemuDowntimeMs, transferredBytes: bytes, iterations: 1 };
      return { outcome: 'completed', stoppedAtUs, completedAtUs, statistics: Promise.resolve(statistics), saved };
    } catch (error) {
      if (!(error instanceof HypervisorError) || !this.held.has(vm.vmId)) throw error;
      if (this.alive(vm.vmId).state === 'paused') this.change(vm.vmId, { state: 'running' });
      return { outcome: 'failed', cause: error, running: this.get(vm.vmId).state === 'running' };
    }
  }

  protected async writeState(vm: SimulatedVm, request: port.SaveRequest, cancelled: () => boolean): Promise<port.Saved> {
    const { clock } = this.world;
    try {
      await this.pass('save', vm.vmId);
      const { lastPassMs } = await beforeSave(vm, request, { linkMiBps: this.world.bandwidthMiBps, clock, cancelled });
      const stoppedAtUs = clock.now() * 1000;
      this.change(vm.vmId, { state: 'paused', saving: true });
      await clock.sleep(lastPassMs);
      const bytes = await writeSave(this.get(vm.vmId), request.file);
      this.change(vm.vmId, { state: 'running', saving: false });
      return { ...this.shaped(vm.vmId), stoppedAtUs, resumedAtUs: clock.now() * 1000, bytes };
    } catch (error) {
      if (this.held.has(vm.vmId) && this.get(vm.vmId).state === 'paused') this.change(vm.vmId, { state: 'running', saving: false });
      throw error;
    }
  }

  /** For tests: the VM's process ends by itself. */
  crash(vmId: string): void {
    this.gone(vmId, happenings.ended('simulated crash', this.nowUs()), 'simulated crash');
  }
  /** What a guest does to its own machine; tests have it do so, and a script in it can. */
  powerOff(vmId: string): void {
    this.gone(vmId, happenings.shutDown(this.nowUs()), '');
  }
  reset(vmId: string): void {
    const { guest } = this.alive(vmId);
    if (!guest) return;
    this.change(vmId, { guest: { ...guest, bootId: this.world.newBootId(), bootedAtMs: this.world.clock.now() } });
    this.tell(vmId, happenings.restarted(this.nowUs()));
  }
  panic(vmId: string): void {
    this.happens(vmId, 'guest-panicked', happenings.panicked(this.nowUs()));
  }
  /** For tests: its pool is full, it is stopped on its host, it goes on. */
  ioError(vmId: string): void {
    this.happens(vmId, 'io-error', happenings.ioError('data', 'no space left where its volume is', this.nowUs()));
  }
  stop(vmId: string): void {
    this.happens(vmId, 'paused', happenings.stopped(this.nowUs()));
  }
  continue(vmId: string): void {
    this.happens(vmId, 'running', happenings.resumed(this.nowUs()));
  }

  private gone(vmId: string, happened: Happening, lastWords: string): void {
    this.shut(vmId);
    this.happens(vmId, 'gone', happened);
    for (const listener of this.listeners) listener({ vmId, lastWords });
  }
  private happens(vmId: string, state: SimulatedVm['state'], happened: Happening): void {
    this.change(vmId, { state, happened });
    this.tell(vmId, happened);
  }
  private tell(vmId: string, happened: Happening): void {
    this.lifecycles.tell({ vmId, migrating: this.migrating.has(vmId), ...happened });
  }
  protected nowUs(): number {
    return this.world.clock.now() * 1000;
  }

  /** See VmStatus.observed. */
  protected reading({ vmId, role, state, happened, saving }: SimulatedVm): GuestReading | undefined {
    if (role !== 'runner' && state !== 'gone') return undefined;
    const seen = state === 'gone' ? (happened?.state ?? 'gone') : states[state];
    if (!seen || (seen === 'paused' && (saving || this.migrating.has(vmId)))) return undefined;
    return happened?.state === seen ? { state: seen, why: happened } : { state: seen };
  }
  onLifecycle(listener: (event: LifecycleEvent) => void): () => void {
    return this.lifecycles.on(listener);
  }
  onExit(listener: (exit: Exit) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected pass(operation: Operation, vmId: string): Promise<void> {
    return this.world.faults.pass(operation, this.config.host, vmId);
  }
  protected gate<T>(vmId: string, work: () => Promise<T>): Promise<T> {
    return this.gates.run(vmId, work);
  }
  /** `offToo`: what is done to its hardware is for its next start where it is off. */
  protected exclusive(
    vmId: string,
    operation: Operation,
    work: (vm: SimulatedVm) => Promise<Topology>,
    offToo = false,
  ): Promise<port.Shaped> {
    const present = (): SimulatedVm => (offToo ? this.get(vmId) : this.alive(vmId));
    present();
    this.refuseWhileMigrating(vmId);
    return this.gate(vmId, async () => {
      const vm = present();
      await this.pass(operation, vmId);
      const topology = await work(vm);
      this.change(vmId, { topology, topologyHash: topologyHash(topology) });
      return this.shaped(vmId);
    });
  }
  protected refuseWhileMigrating(vmId: string): void {
    if (this.migrating.has(vmId)) throw new HypervisorError('hypervisor.migrating', `${vmId} is in a migration`, { vmId });
  }
  protected find(vmId: string): SimulatedVm | undefined {
    return this.held.has(vmId) ? this.store.vms.get(vmId) : undefined;
  }
  protected get(vmId: string): SimulatedVm {
    const vm = this.find(vmId);
    if (!vm) throw new HypervisorError('hypervisor.vm_unknown', `No VM ${vmId} on this host`, { vmId });
    return vm;
  }
  protected alive(vmId: string): SimulatedVm {
    const vm = this.get(vmId);
    if (vm.state === 'gone')
      throw new HypervisorError('hypervisor.qemu_exited', `${vmId} ended: ${vm.happened?.message ?? 'simulated crash'}`, { vmId });
    return vm;
  }
  protected keep(vm: SimulatedVm): void {
    this.held.add(vm.vmId);
    this.store.save(vm);
    this.segmentsOf(vm);
  }
  /** Of most VMs there is nothing to see to. */
  protected segmentsOf({ topology }: SimulatedVm): void {
    if (topology.nics.some((n) => n.segment)) this.segmentParts.changed();
  }
  private topologiesHere(): Topology[] {
    const here = [...this.held].flatMap((vmId) => this.store.vms.get(vmId) ?? []);
    return here.filter((vm) => vm.state !== 'gone').map((vm) => vm.topology);
  }
  protected change(vmId: string, change: Partial<SimulatedVm>): void {
    this.keep({ ...this.get(vmId), ...change });
  }
  protected shaped(vmId: string): port.Shaped {
    const { topology, topologyHash: hash } = this.get(vmId);
    return { topology, topologyHash: hash };
  }
}

const REST_TICK_MS = 20;
const MiB = 1024 * 1024;
const restAfter = (
  { topology }: SimulatedVm,
  { address, limits }: port.MigrateRequest,
  { left, transferredBytes: sent }: PreCopy,
  linkMiBps: number,
): { rest?: SimulatedRest } => {
  if (left === undefined) return {};
  const rate = Math.min(linkMiBps, limits.maxBandwidthMiBps) * MiB;
  return { rest: { is: 'sending', from: { total: memoryMiBOf(topology) * MiB, left, sent, rate, address } } };
};
