import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { addressed, filtered, isVolumeFile, plugged, resized, topologyHash, unplugged } from '@chrysalis/contracts';
import type { Device, Disk, Erased, FilterRule, SegmentPart, Topology, Trace } from '@chrysalis/contracts';
import type * as port from '../driver.ts';
import type { GuestConsole } from '../console.ts';
import { HypervisorError, noDisplay } from '../errors.ts';
import { happenings } from '../lifecycle.ts';
import * as shape from '../shape.ts';
import { makeCopies } from './copy.ts';
import { SIMULATED_SCREEN, SimulatedConsole } from './console.ts';
import { fileSystemBytes, SimulatedGuest } from './guest.ts';
import { SimulatedHost } from './host.ts';
import { goneByPostCopy, restOf } from './post-copy.ts';
import type { SimulatedVm } from './state.ts';
import { keptState, STATE_ADDRESS } from './suspend.ts';
import { eraseOf, tracesOf } from './traces.ts';
import type { SimulatedVolumes } from './volumes.ts';

/** VMs that are not there, with the answers, refusals and times of some that are. */
export class SimulatedDriver extends SimulatedHost implements port.HypervisorDriver {
  boot(spec: port.BootSpec): Promise<port.Shaped> {
    return this.gate(spec.vmId, async () => {
      const existing = this.find(spec.vmId);
      if (existing) return this.bootAgain(existing, spec.uuid);
      const topology = shape.initialTopology(spec);
      await this.assertHost(topology);
      await this.pass('boot', spec.vmId);
      await this.world.clock.sleep(this.config.bootMs ?? 5);
      for (const d of topology.disks) this.volumes.set(d.pool, d.volume, { sizeMiB: d.sizeMiB });
      if (topology.uefi) this.volumes.set(topology.uefi.pool, topology.uefi.volume, { sizeMiB: 1 });
      const guest = this.newGuest(topology);
      const console = `simulated guest, boot ${guest.bootId}\n`;
      this.keep({ vmId: spec.vmId, role: 'runner', state: 'running', topology, topologyHash: topologyHash(topology), guest, console });
      return this.shaped(spec.vmId);
    });
  }

  private newGuest(topology: Topology): NonNullable<SimulatedVm['guest']> {
    return {
      bootId: this.world.newBootId(),
      bootedAtMs: this.world.clock.now(),
      onlineCpus: topology.vcpus.boot,
      onlineMiB: topology.memory.bootMiB,
      fileSystems: Object.fromEntries(topology.disks.map((d) => [d.id, fileSystemBytes(d.sizeMiB)])),
      dirtyMiBps: 8,
      unplug: 'agrees',
    };
  }

  private bootAgain(vm: SimulatedVm, uuid: string): port.Shaped {
    if (vm.topology.uuid === uuid && vm.role === 'runner' && vm.state === 'running') return this.shaped(vm.vmId);
    throw new HypervisorError('hypervisor.vm_exists', `${vm.vmId} is on this host in another role, or ended`, { role: vm.role });
  }

  async adopt(): Promise<port.VmStatus[]> {
    for (const vm of this.store.vms.values()) {
      this.held.add(vm.vmId);
      if (vm.saving) this.change(vm.vmId, { state: 'running', saving: false });
      if (vm.state === 'inmigrate' && vm.migrationAddress !== STATE_ADDRESS) await this.open(vm);
      if (vm.rest?.from) void this.sendRest(vm.vmId);
    }
    return Promise.all(this.list().map((vmId) => this.status(vmId)));
  }

  list(): readonly string[] {
    return [...this.held].sort();
  }

  async status(vmId: string): Promise<port.VmStatus> {
    const vm = this.get(vmId);
    const { role, topology, topologyHash: hash } = vm;
    const state = vm.state === 'gone' && vm.halted ? 'halted' : vm.state;
    await this.pass('status', vmId);
    const observed = this.reading(vm);
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
      ...(observed ? { observed } : {}),
    };
  }

  async topology(vmId: string): Promise<port.Shaped> {
    this.alive(vmId);
    return this.shaped(vmId);
  }

  async plug(vmId: string, device: Device): Promise<port.Shaped> {
    return this.exclusive(
      vmId,
      'plug',
      async (vm) => {
        if (!shape.assertPlug(vm.topology, device)) return vm.topology;
        if (device.kind === 'disk') this.ensureVolume(device, vm);
        if (device.kind === 'nic' && !device.segment) this.assertNetwork(device.network);
        await this.world.clock.sleep(this.config.plugMs ?? 1);
        return plugged(vm.topology, device);
      },
      shape.isOfOff(device),
    );
  }

  private ensureVolume(disk: Extract<Device, { kind: 'disk' }>, vm: SimulatedVm): void {
    this.assertPool(disk.pool);
    const there = this.volumes.get(disk.pool, disk.volume);
    if (!there && (isVolumeFile(disk.volume) || (disk.readOnly && disk.pool !== 'packages')))
      throw new HypervisorError('hypervisor.volume_missing', `No volume ${disk.volume} in pool ${disk.pool}`, { disk: disk.id });
    if (there && isVolumeFile(disk.volume)) {
      if (there.sizeMiB !== disk.sizeMiB)
        throw new HypervisorError('hypervisor.volume_conflict', `${disk.volume} has ${there.sizeMiB} MiB, not ${disk.sizeMiB}`, {
          ...there,
        });
      this.takeOpen(disk, vm);
      return;
    }
    if (!there) this.volumes.set(disk.pool, disk.volume, { sizeMiB: disk.sizeMiB });
  }

  /** As QEMU's lock: of the VMs that run, one. */
  private takeOpen({ pool, volume }: Pick<Disk, 'pool' | 'volume'>, { vmId, state }: SimulatedVm): void {
    if (state === 'gone') return;
    const there = this.volumes.get(pool, volume)!;
    if (there.holder !== undefined && there.holder !== vmId)
      throw new HypervisorError('hypervisor.volume_locked', `${there.holder} has the volume ${volume} open`, { holder: there.holder });
    this.volumes.set(pool, volume, { ...there, holder: vmId });
  }
  private letGo(vmId: string, disks: readonly Disk[]): void {
    for (const { pool, volume } of disks.filter((d) => isVolumeFile(d.volume))) {
      const { holder, ...there } = this.volumes.get(pool, volume) ?? { sizeMiB: 0 };
      if (holder === vmId) this.volumes.set(pool, volume, there);
    }
  }

  async unplug(vmId: string, device: port.DeviceRef, deadlineMs: number): Promise<port.Shaped> {
    return this.exclusive(
      vmId,
      'unplug',
      async (vm) => {
        if (!shape.assertUnplug(vm.topology, device)) return vm.topology;
        if (vm.state !== 'gone') await this.askGuest(vm, device, deadlineMs);
        const after = unplugged(vm.topology, device);
        this.letGo(
          vmId,
          vm.topology.disks.filter((d) => device.kind === 'disk' && d.id === device.id),
        );
        if (vm.guest && device.kind === 'cpu')
          vm.guest.onlineCpus = Math.min(vm.guest.onlineCpus, after.vcpus.boot + after.vcpus.plugged.length);
        if (vm.guest && device.kind === 'memory')
          vm.guest.onlineMiB = Math.min(
            vm.guest.onlineMiB,
            after.memory.dimms.reduce((sum, d) => sum + d.sizeMiB, after.memory.bootMiB),
          );
        return after;
      },
      shape.isOfOff(device),
    );
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
    return this.exclusive(
      vmId,
      'resize-disk',
      async (vm) => {
        if (!shape.assertResize(vm.topology, disk, sizeMiB)) return vm.topology;
        const { pool, volume } = vm.topology.disks.find((d) => d.id === disk)!;
        this.volumes.set(pool, volume, { ...this.volumes.get(pool, volume), sizeMiB });
        return resized(vm.topology, disk, sizeMiB);
      },
      shape.isVolume({ kind: 'disk', id: disk }),
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
  async guestListens(vmId: string, id: string): Promise<boolean> {
    const { topology, guest } = this.alive(vmId);
    return guest !== undefined && topology.serialPorts.some((p) => p.id === id) && guest.listening?.[id] === guest.bootId;
  }

  prepareTarget({ vmId, topology, topologyHash: hash, copies, cold, restores }: port.PrepareTarget): Promise<port.TargetPrepared> {
    return this.gate(vmId, async () => {
      if (topologyHash(topology) !== hash)
        throw new HypervisorError('hypervisor.topology_mismatch', 'The topology is not the one that was hashed', {
          said: hash,
          is: topologyHash(topology),
        });
      const existing = this.find(vmId);
      if (existing) return this.prepareAgain(existing, hash, cold);
      await this.assertHost(topology);
      await this.pass('prepare-target', vmId);
      if (cold) {
        this.keep({ vmId, role: 'incoming', state: 'prepared', cold, topology, topologyHash: hash, guest: undefined, console: '' });
        return { migrationAddress: 'cold:' };
      }
      if (restores) {
        const migrationAddress = STATE_ADDRESS;
        const waits = { state: 'inmigrate', migrationAddress } as const;
        this.keep({ vmId, role: 'incoming', ...waits, topology, topologyHash: hash, guest: undefined, console: '' });
        return { migrationAddress };
      }
      makeCopies(this.volumes, topology, copies);
      const vm: SimulatedVm = {
        ...{ vmId, role: 'incoming', state: 'inmigrate', topology, topologyHash: hash, guest: undefined, console: '' },
        ...(copies ? { copies: true } : {}),
      };
      await this.open(vm);
      return preparedAs(vm);
    });
  }

  private prepareAgain(vm: SimulatedVm, hash: string, cold = false): port.TargetPrepared {
    if (cold && vm.state === 'prepared' && vm.topologyHash === hash) return { migrationAddress: 'cold:' };
    if (vm.role === 'incoming' && vm.topologyHash === hash && vm.migrationAddress) return preparedAs(vm);
    throw new HypervisorError('hypervisor.vm_exists', `${vm.vmId} is on this host in another role or shape`, {
      role: vm.role,
      topologyHash: vm.topologyHash,
    });
  }

  async migrate(vmId: string, request: port.MigrateRequest): Promise<port.MigrateOutcome> {
    const vm = this.alive(vmId);
    this.refuseWhileMigrating(vmId);
    if (!['running', 'paused'].includes(vm.state))
      throw new HypervisorError('hypervisor.not_ready', `A VM in state ${vm.state} cannot be migrated`, { state: vm.state });
    return this.flying(vmId, request.signal, (cancelled) => this.transfer(vm, request, cancelled));
  }

  async saveState(vmId: string, request: port.SaveRequest): Promise<port.Saved> {
    const vm = this.alive(vmId);
    this.refuseWhileMigrating(vmId);
    if (vm.role !== 'runner' || vm.state !== 'running')
      throw new HypervisorError('hypervisor.not_ready', `A VM in state ${vm.state} is not saved`, { state: vm.state, role: vm.role });
    return this.flying(vmId, request.signal, (cancelled) => this.writeState(vm, request, cancelled));
  }

  async suspend(vmId: string, request: port.SuspendRequest): Promise<port.Suspended> {
    const vm = this.alive(vmId);
    this.assertPool(request.pool);
    this.refuseWhileMigrating(vmId);
    if (vm.role !== 'runner' || vm.state !== 'running')
      throw new HypervisorError('hypervisor.not_ready', `A VM in state ${vm.state} is not saved`, { state: vm.state, role: vm.role });
    return this.flying(vmId, request.signal, (cancelled) => this.toFile(vm, request, cancelled));
  }
  restore(vmId: string, state: port.StatePlace & port.SavedState): Promise<void> {
    return this.gate(vmId, async () => {
      const vm = this.alive(vmId);
      if (vm.state === 'paused') return;
      if (vm.role !== 'incoming' || vm.state !== 'inmigrate')
        throw new HypervisorError('hypervisor.not_ready', `The target is ${vm.state}`, { state: vm.state });
      await this.load(vmId, keptState(this.volumes, state));
    });
  }
  async dropState(pool: string, file: string): Promise<void> {
    this.volumes.delete(pool, file);
  }

  private async flying<T>(vmId: string, signal: AbortSignal | undefined, begin: (cancelled: () => boolean) => Promise<T>): Promise<T> {
    const flight = { cancelled: signal?.aborted ?? false, done: Promise.resolve() as Promise<unknown> };
    const abort = (): void => void (flight.cancelled = true);
    signal?.addEventListener('abort', abort);
    this.migrating.set(vmId, flight);
    const work = begin(() => flight.cancelled);
    flight.done = work.catch(() => undefined);
    try {
      return await work;
    } finally {
      this.migrating.delete(vmId);
      signal?.removeEventListener('abort', abort);
    }
  }

  async cancelMigration(vmId: string): Promise<void> {
    if (this.find(vmId)?.rest?.from) throw goneByPostCopy(vmId);
    const flight = this.migrating.get(vmId);
    if (!flight) return;
    flight.cancelled = true;
    await flight.done;
  }

  async restOf(vmId: string): Promise<port.Rest> {
    return restOf(this.alive(vmId), this.world.clock.now());
  }
  reopen(vmId: string): Promise<{ migrationAddress: string }> {
    return this.gate(vmId, async () => {
      const vm = this.alive(vmId);
      if (!vm.rest || vm.rest.from || vm.rest.is === 'whole')
        throw new HypervisorError('hypervisor.not_ready', `${vmId} waits for no rest of its memory`, { rest: vm.rest?.is });
      this.shut(vmId);
      const next: SimulatedVm = { ...vm, rest: { is: 'sending' } };
      await this.open(next);
      return { migrationAddress: next.migrationAddress! };
    });
  }
  async resend(vmId: string, address: string): Promise<void> {
    const { rest } = this.alive(vmId);
    if (!rest?.from || rest.is === 'whole')
      throw new HypervisorError('hypervisor.not_ready', `${vmId} has no rest to send`, { rest: rest?.is });
    await this.world.link.reachable(address);
    this.change(vmId, { rest: { is: 'sending', from: { ...rest.from, address } } });
    void this.sendRest(vmId);
  }

  async resume(vmId: string): Promise<{ resumedAtUs: number }> {
    return this.gate(vmId, async () => {
      const vm = this.get(vmId);
      if (vm.role === 'runner' && vm.resumedAtUs !== undefined && vm.state !== 'gone') return { resumedAtUs: vm.resumedAtUs };
      if (vm.state === 'prepared') return this.startCold(vm);
      if (vm.role !== 'incoming' || vm.state !== 'paused')
        throw new HypervisorError('hypervisor.not_ready', 'The stream is not in', { state: vm.state, role: vm.role });
      await this.pass('resume', vmId);
      const resumedAtUs = this.world.clock.now() * 1000;
      this.change(vmId, { role: 'runner', state: 'running', resumedAtUs });
      return { resumedAtUs };
    });
  }

  private async startCold(vm: SimulatedVm): Promise<{ resumedAtUs: number }> {
    const { vmId, topology, cold: _, ...rest } = vm;
    await this.pass('resume', vmId);
    await this.world.clock.sleep(this.config.bootMs ?? 5);
    const resumedAtUs = this.world.clock.now() * 1000;
    const guest = this.newGuest(topology);
    const console = `simulated guest, boot ${guest.bootId}\n`;
    this.keep({ ...rest, vmId, topology, role: 'runner', state: 'running', resumedAtUs, guest, console });
    return { resumedAtUs };
  }

  async announce(vmId: string): Promise<void> {
    this.alive(vmId);
  }

  async reclaim(vmId: string): Promise<{ resumedAtUs: number }> {
    return this.gate(vmId, async () => {
      const vm = this.alive(vmId);
      if (vm.rest?.from) throw goneByPostCopy(vmId);
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
      this.segmentsOf(vm);
      this.consoles.get(vmId)?.over();
      this.consoles.delete(vmId);
      if (vm.role !== 'runner' || vm.state === 'postmigrate') return; // they are another host's now
      this.letGo(vmId, vm.topology.disks);
      if (deleteVolumes) for (const d of shape.ownFiles(vm.topology)) this.volumes.delete(d.pool, d.volume);
    });
  }
  async deleteVolume(pool: string, volume: string): Promise<void> {
    this.assertFree(pool, volume);
    this.volumes.delete(pool, volume);
  }
  async createVolume({ pool, volume, sizeMiB, from }: port.NewVolume): Promise<port.VolumeMade> {
    this.assertPool(pool);
    if (from?.kind === 'volume' && !this.assertFree(from.pool, from.volume))
      throw new HypervisorError('hypervisor.volume_missing', `No volume ${from.volume} in pool ${from.pool}`);
    const there = this.volumes.get(pool, volume);
    if (there && there.sizeMiB !== sizeMiB)
      throw new HypervisorError('hypervisor.volume_conflict', `There is a volume ${volume} of ${there.sizeMiB} MiB`, { ...there });
    if (!there) this.volumes.set(pool, volume, { sizeMiB });
    return { shared: !this.config.localPools?.includes(pool), bytes: 0 };
  }
  async growVolume({ pool, volume, sizeMiB }: port.VolumeSpec): Promise<void> {
    const there = this.assertFree(pool, volume);
    if (!there) throw new HypervisorError('hypervisor.volume_missing', `No volume ${volume} in pool ${pool}`);
    if (sizeMiB < there.sizeMiB)
      throw new HypervisorError('hypervisor.disk_shrink_refused', `${volume} has ${there.sizeMiB} MiB: it does not become ${sizeMiB}`);
    this.volumes.set(pool, volume, { ...there, sizeMiB });
  }
  private assertFree(pool: string, volume: string): ReturnType<SimulatedVolumes['get']> {
    this.assertPool(pool);
    shape.assertUnattached(new Map([...this.held].map((vmId) => [vmId, this.get(vmId).topology])), pool, volume);
    const there = this.volumes.get(pool, volume);
    if (there?.holder !== undefined)
      throw new HypervisorError('hypervisor.volume_locked', `${there.holder} has the volume ${volume} open`, { holder: there.holder });
    return there;
  }

  async traces(): Promise<Trace[]> {
    const mine = new Set(this.config.pools ?? ['shared', 'packages']);
    const all = tracesOf(this.store.vms.values(), this.volumes, (pool) => !this.config.localPools?.includes(pool));
    return all.filter((t) => t.pool === undefined || mine.has(t.pool));
  }
  async erase(trace: Trace): Promise<Erased> {
    return eraseOf(trace, await this.traces(), {
      process: async (vmId) => {
        this.letGo(vmId, this.get(vmId).topology.disks);
        this.change(vmId, { state: 'gone', halted: true });
      },
      folder: (vmId) => this.destroy(vmId, { deleteVolumes: false }),
      disk: (pool, volume) => this.deleteVolume(pool, volume),
    });
  }

  /** Its pools have no files that fill. */
  async starved(): Promise<readonly string[]> {
    return [];
  }

  async progress(vmId: string): Promise<port.Progress> {
    return this.alive(vmId).state === 'running' ? { moves: true } : { moves: false, registers: '' };
  }
  async pressReset(vmId: string): Promise<void> {
    this.reset(vmId);
  }

  async pressPower(vmId: string): Promise<void> {
    const { state, guest } = this.alive(vmId);
    this.refuseWhileMigrating(vmId);
    if (state === 'running' && guest?.power !== 'ignores') this.powerOff(vmId);
  }
  halt(vmId: string): Promise<void> {
    return this.gate(vmId, async () => {
      const vm = this.own(vmId);
      if (vm.halted) return;
      await this.pass('halt', vmId);
      this.letGo(vmId, vm.topology.disks);
      this.change(vmId, { state: 'gone', halted: true, happened: happenings.halted(this.nowUs()) });
    });
  }
  start(vmId: string, next: port.NextLife = {}): Promise<port.Shaped> {
    return this.gate(vmId, async () => {
      const { halted: _, happened: __, ...vm } = this.own(vmId);
      if (vm.state === 'running') return this.shaped(vmId);
      if ((vm.state !== 'gone' && vm.state !== 'guest-panicked') || !vm.guest) throw this.otherwise(vm);
      await this.assertHost(vm.topology);
      await this.pass('start', vmId);
      for (const d of vm.topology.disks) if (isVolumeFile(d.volume)) this.ensureVolume({ kind: 'disk', ...d }, { ...vm, state: 'running' });
      await this.world.clock.sleep(this.config.bootMs ?? 5);
      const { boot } = vm.topology.vcpus;
      const { listening: ___, ...guest } = vm.guest;
      const life = { bootId: this.world.newBootId(), bootedAtMs: this.world.clock.now(), onlineCpus: boot };
      const topology = shape.anew(vm.topology, next);
      for (const d of vm.topology.disks) if (!topology.disks.includes(d)) this.volumes.delete(d.pool, d.volume);
      this.keep({ ...vm, topology, topologyHash: topologyHash(topology), state: 'running', guest: { ...guest, ...life } });
      return this.shaped(vmId);
    });
  }
  async pause(vmId: string): Promise<void> {
    const vm = this.own(vmId);
    if (vm.state === 'running') this.stop(vmId);
    else if (vm.state !== 'paused') throw this.otherwise(vm);
  }
  async unpause(vmId: string): Promise<void> {
    const vm = this.own(vmId);
    if (vm.state === 'paused' || vm.state === 'io-error') this.continue(vmId);
    else if (vm.state !== 'running') throw this.otherwise(vm);
  }
  private own(vmId: string): SimulatedVm {
    const vm = this.get(vmId);
    this.refuseWhileMigrating(vmId);
    if (vm.role !== 'runner' || vm.state === 'postmigrate')
      throw new HypervisorError('hypervisor.not_ready', `${vmId} does not run here`, { role: vm.role });
    return vm;
  }
  private otherwise({ vmId, state }: SimulatedVm): HypervisorError {
    return new HypervisorError('hypervisor.not_ready', `${vmId} is ${state}`, { state });
  }

  consoleOf(vmId: string): GuestConsole {
    this.get(vmId);
    const known = this.consoles.get(vmId) ?? new SimulatedConsole(() => this.get(vmId), (change) => this.change(vmId, change)); // prettier-ignore
    this.consoles.set(vmId, known);
    return known;
  }
  async screen(vmId: string): Promise<Buffer> {
    const { topology } = this.alive(vmId);
    if (!topology.image.display) throw noDisplay(vmId);
    return SIMULATED_SCREEN;
  }
  simulatedGuest(vmId: string): SimulatedGuest {
    return new SimulatedGuest(
      () => this.get(vmId),
      this.world.clock,
      (vm) => this.keep(vm),
      { poweroff: () => this.powerOff(vmId), reboot: () => this.reset(vmId) },
    );
  }

  setFilter(vmId: string, allow: readonly FilterRule[]): Promise<port.Shaped> {
    return this.exclusive(vmId, 'plug', async ({ topology }) => filtered(topology, allow), true);
  }
  setAddress(vmId: string, { network, address, has }: port.FurtherAddress): Promise<port.Shaped> {
    return this.exclusive(
      vmId,
      'plug',
      async ({ topology }) => {
        shape.assertOnSegment(topology, network);
        return addressed(topology, network, address, has);
      },
      true,
    );
  }
  segments(): readonly SegmentPart[] {
    return this.segmentParts.parts();
  }
  onSegments(listener: () => void): () => void {
    return this.segmentParts.on(listener);
  }
  async setSegmentPeers(vni: number, version: number, peers: readonly string[]): Promise<void> {
    this.segmentParts.setPeers(vni, version, peers);
  }
  /** For tests. */
  segmentPeers(vni: number): readonly string[] {
    return this.segmentParts.peersOf(vni);
  }

  async close(): Promise<void> {
    for (const vmId of [...this.doors.keys()]) this.shut(vmId);
    this.held.clear();
    this.consoles.clear();
  }
}

/** Disks come through the same door. */
const preparedAs = ({ migrationAddress = '', copies }: SimulatedVm): port.TargetPrepared => ({
  migrationAddress,
  ...(copies ? { copyAddress: migrationAddress } : {}),
});
