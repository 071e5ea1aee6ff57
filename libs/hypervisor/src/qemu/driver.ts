import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';
import { addressed, filtered, topologyHash } from '@chrysalis/contracts';
import type { Device, Erased, FilterRule, SegmentPart, Topology, Trace } from '@chrysalis/contracts';
import type { GuestConsole } from '../console.ts';
import type * as port from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { LifecycleEvent } from '../lifecycle.ts';
import { anew, assertOnSegment, assertUnattached, initialTopology, isOfOff, isVolume, ownFiles } from '../shape.ts';
import * as cold from './cold.ts';
import type { Exit } from './fleet.ts';
import { QemuHost } from './host.ts';
import * as hotplug from './hotplug.ts';
import { copying } from './copy/source.ts';
import { closeCopies, openCopies } from './copy/target.ts';
import { announceSelf, continueVm, listen, paused } from './incoming.ts';
import { readingOf } from './lifecycle.ts';
import { migrate, queryStatus } from './migration.ts';
import * as postCopy from './post-copy.ts';
import { isOff, plugOff, resizeOff, unplugOff } from './off.ts';
import * as power from './power.ts';
import { lastWords } from './process.ts';
import { progressOf } from './progress.ts';
import { quirksOf } from './quirks.ts';
import { screenOf } from './screen.ts';
import { noLongerSaving, saveState } from './save.ts';
import { awaitState, restore, suspend } from './suspend.ts';
import type { Vm } from './vm.ts';
import { ownsVolumes } from './owns-volumes.ts';

/** Whoever made it died before it was known where it listens: nothing can have come to it. */
const isHalfPrepared = ({ record: { role, cold, migrationAddress } }: Vm): boolean =>
  role === 'incoming' && !cold && migrationAddress === undefined;

/** Real VMs: one QEMU process each, which outlives this process. */
export class QemuDriver extends QemuHost implements port.HypervisorDriver {
  boot(spec: port.BootSpec): Promise<port.Shaped> {
    return this.fleet.gate(spec.vmId, async () => {
      const existing = this.fleet.find(spec.vmId);
      if (existing) return this.bootAgain(existing, spec.uuid);
      const topology = initialTopology(spec);
      const made: { pool: string; volume: string }[] = [];
      try {
        for (const disk of topology.disks) if (await this.ensureVolume(topology, disk, spec)) made.push(disk);
        if (await this.ensureVariables(topology)) made.push(topology.uefi!);
        const vm = await this.fleet.create(spec.vmId, 'runner', topology, await this.how(topology, false), async (v) => {
          await continueVm(v.qmp);
        });
        return vm.shaped;
      } catch (error) {
        for (const { pool, volume } of made) await this.volumes.delete(pool, volume);
        throw error;
      }
    });
  }

  private async bootAgain(vm: Vm, uuid: string): Promise<port.Shaped> {
    if (vm.topology.uuid !== uuid || vm.record.role !== 'runner' || !vm.alive)
      throw new HypervisorError('hypervisor.vm_exists', `${vm.vmId} is on this host in another role, or ended`, { role: vm.record.role });
    return vm.exclusive(() => vm.verified(vm.topology));
  }

  async adopt(): Promise<port.VmStatus[]> {
    const vms = await this.fleet.adopt();
    const nics = vms.filter((vm) => vm.alive).flatMap((vm) => vm.topology.nics.map(({ id }) => ({ vmId: vm.vmId, nic: id })));
    await this.networks.segments.reconcile(nics);
    return Promise.all(vms.map((vm) => this.status(vm.vmId)));
  }

  list(): readonly string[] {
    return this.fleet.list();
  }

  async status(vmId: string): Promise<port.VmStatus> {
    const vm = this.fleet.get(vmId);
    const { role, process, topology, topologyHash: hash } = vm.record;
    const answer = vm.connected ? await queryStatus(vm.qmp) : undefined;
    const observed = await readingOf(vm, answer);
    const common = { vmId, role, topology, topologyHash: hash, ...(observed ? { observed } : {}) };
    const migrating = vm.migrating !== undefined;
    if (answer && process) return { ...common, migrating, state: answer.status, running: answer.running, pid: process.pid };
    if (vm.alive) return { ...common, migrating, state: 'unknown', running: false, pid: process!.pid };
    if (cold.isPrepared(vm)) return { ...common, migrating: false, state: 'prepared', running: false };
    if (vm.record.haltedAtUs !== undefined) return { ...common, migrating: false, state: 'halted', running: false };
    return { ...common, migrating: false, state: 'gone', running: false, lastWords: await lastWords(vm.files.words) };
  }

  topology(vmId: string): Promise<port.Shaped> {
    const vm = this.fleet.get(vmId);
    return vm.mutex.runExclusive(() => vm.explained(() => vm.verified(vm.topology)));
  }

  async plug(vmId: string, device: Device): Promise<port.Shaped> {
    if (isOfOff(device))
      return this.ofVolume(vmId, (vm) => (isOff(vm) ? plugOff(vm, device) : vm.exclusive(() => hotplug.plug(vm, device))));
    const vm = this.fleet.get(vmId);
    const { cpuThreadsSpent } = quirksOf((await this.facts()).accelerator);
    return vm.exclusive(async () => {
      if (device.kind === 'cpu' && cpuThreadsSpent) await hotplug.spendCpuThread(vm, device);
      return hotplug.plug(vm, device);
    });
  }
  /** Off or on is decided in the VM's gate: while it starts or goes off it is neither. */
  private ofVolume(vmId: string, work: (vm: Vm) => Promise<port.Shaped>): Promise<port.Shaped> {
    return this.fleet.gate(vmId, () => work(this.fleet.get(vmId)));
  }
  async unplug(vmId: string, device: port.DeviceRef, deadlineMs: number): Promise<port.Shaped> {
    const vm = this.fleet.get(vmId);
    const { cpuHotUnplug } = await this.facts();
    if (device.kind === 'cpu' && !cpuHotUnplug)
      throw new HypervisorError(
        'hypervisor.unplug_unsafe',
        'QEMU under TCG does not come whole through the unplug of a CPU; offline it in the guest',
        device,
      );
    if (isOfOff(device))
      return this.ofVolume(vmId, (v) => (isOff(v) ? unplugOff(v, device) : v.exclusive(() => hotplug.unplug(v, device, deadlineMs))));
    return vm.exclusive(() => hotplug.unplug(vm, device, deadlineMs));
  }
  async resizeDisk(vmId: string, disk: string, sizeMiB: number): Promise<port.Shaped> {
    if (isVolume({ kind: 'disk', id: disk }))
      return this.ofVolume(vmId, (v) => (isOff(v) ? resizeOff(v, disk, sizeMiB) : v.exclusive(() => hotplug.resizeDisk(v, disk, sizeMiB))));
    const vm = this.fleet.get(vmId);
    return vm.exclusive(() => hotplug.resizeDisk(vm, disk, sizeMiB));
  }
  setFilter(vmId: string, allow: readonly FilterRule[]): Promise<port.Shaped> {
    return this.refilter(vmId, (topology) => filtered(topology, allow));
  }
  setAddress(vmId: string, { network, address, has }: port.FurtherAddress): Promise<port.Shaped> {
    assertOnSegment(this.fleet.get(vmId).topology, network);
    const told = has ? (): Promise<void> => this.networks.segments.announce(vmId, network, address) : async (): Promise<void> => undefined;
    return this.refilter(vmId, (topology) => addressed(topology, network, address, has), told);
  }
  /** Of one that is off only its record: its filter is made with its taps. */
  private refilter(vmId: string, change: (t: Topology) => Topology, told = async (): Promise<void> => undefined): Promise<port.Shaped> {
    return this.ofVolume(vmId, async (vm) => {
      const topology = change(vm.topology);
      const set = async (): Promise<port.Shaped> => {
        for (const nic of topology.nics) if (nic.segment && !isOff(vm)) await this.networks.segments.refilter(vmId, nic);
        if (!isOff(vm)) await told();
        await vm.saveTopology(topology);
        return vm.shaped;
      };
      if (!isOff(vm)) return vm.exclusive(set);
      power.assertOwn(vm);
      return set();
    });
  }
  async plugSerialPort(vmId: string, serialPort: port.SerialPortSpec): Promise<port.Shaped> {
    const vm = this.fleet.get(vmId);
    return vm.exclusive(() => hotplug.plugSerialPort(vm, serialPort));
  }
  async unplugSerialPort(vmId: string, id: string, deadlineMs: number): Promise<port.Shaped> {
    const vm = this.fleet.get(vmId);
    return vm.exclusive(() => hotplug.unplugSerialPort(vm, id, deadlineMs));
  }

  /** Where a serial port's socket is, for a client that connects by itself. */
  serialSocket(vmId: string, id: string): string {
    const vm = this.fleet.get(vmId);
    if (vm.topology.serialPorts.some((p) => p.id === id)) return vm.files.socket(`port-${id}`);
    throw new HypervisorError('hypervisor.device_unknown', `No serial port ${id}`, { id });
  }
  async openSerialPort(vmId: string, id: string): Promise<Duplex> {
    const socket = createConnection(this.serialSocket(vmId, id));
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return socket;
  }
  async guestListens(vmId: string, id: string): Promise<boolean> {
    const ends = await this.fleet.get(vmId).qmp.execute<{ label: string; 'frontend-open': boolean }[]>('query-chardev');
    return ends.some((end) => end.label === `char-${id}` && end['frontend-open']);
  }

  prepareTarget(request: port.PrepareTarget): Promise<port.TargetPrepared> {
    const { vmId, topology, topologyHash: hash, copies, quiet = false, postCopy: late = false, streams } = request;
    return this.fleet.gate(vmId, async () => {
      if (topologyHash(topology) !== hash)
        throw new HypervisorError('hypervisor.topology_mismatch', 'The topology is not the one that was hashed', {
          said: hash,
          is: topologyHash(topology),
        });
      if (request.cold) {
        await cold.prepareCold(this.fleet, request, () => this.how(topology, false));
        return { migrationAddress: cold.COLD_ADDRESS };
      }
      const existing = this.fleet.find(vmId);
      if (existing && !isHalfPrepared(existing)) return this.prepareAgain(existing, hash);
      if (existing) await this.fleet.destroy(existing);
      const how = await this.how(topology, true);
      return this.withCopies(topology, copies, async () => {
        let prepared: port.TargetPrepared | undefined;
        await this.fleet.create(vmId, 'incoming', topology, how, async (vm) => {
          const { address } = this.config;
          prepared = {
            migrationAddress: await (request.restores
              ? awaitState(vm.qmp, quiet)
              : listen(vm.qmp, address, { quiet, postCopy: late, streams })),
          };
          if (copies) prepared = { ...prepared, copyAddress: await openCopies(vm, address, copies) };
          await vm.save({ ...prepared, ...(quiet ? { quiet } : {}) });
        });
        return prepared!;
      });
    });
  }

  private prepareAgain(vm: Vm, hash: string): port.TargetPrepared {
    const { role, migrationAddress, copyAddress, topologyHash: recorded } = vm.record;
    if (role === 'incoming' && recorded === hash && migrationAddress && vm.alive)
      return { migrationAddress, ...(copyAddress === undefined ? {} : { copyAddress }) };
    throw new HypervisorError('hypervisor.vm_exists', `${vm.vmId} is on this host in another role or shape`, {
      role,
      topologyHash: recorded,
    });
  }

  async migrate(vmId: string, request: port.MigrateRequest): Promise<port.MigrateOutcome> {
    const vm = this.fleet.get(vmId);
    return vm.exclusive(async () => {
      // Else an adoption would take a VM that was given away for one that stands still in a save.
      await noLongerSaving(vm);
      const { copies } = request;
      const running = copies ? copying(vm, { ...request, copies }) : migrate(vm, request);
      let flying: Promise<unknown> | undefined;
      vm.migrating = running.catch(() => undefined);
      try {
        const outcome = await running;
        if (outcome.outcome === 'completed' && outcome.rest) flying = outcome.rest;
        // After this returned, so that the host agent's fence does not wait for our disk. Till then `postmigrate` says the same.
        if (outcome.outcome === 'completed') void vm.mutex.runExclusive(() => vm.save({ givenAway: true })).catch(() => undefined);
        return outcome;
      } finally {
        vm.migrating = flying?.finally(() => (vm.migrating = undefined));
      }
    });
  }

  restOf(vmId: string): Promise<port.Rest> {
    const vm = this.fleet.get(vmId);
    return vm.explained(() => postCopy.restOf(vm.qmp));
  }
  async reopen(vmId: string): Promise<{ migrationAddress: string }> {
    const vm = this.fleet.get(vmId);
    return { migrationAddress: await vm.explained(() => postCopy.reopen(vm.qmp, this.config.address)) };
  }
  async resend(vmId: string, address: string): Promise<void> {
    const vm = this.fleet.get(vmId);
    await vm.explained(() => postCopy.resend(vm.qmp, address));
  }

  async saveState(vmId: string, request: port.SaveRequest): Promise<port.Saved> {
    const vm = this.fleet.get(vmId);
    return vm.exclusive(async () => {
      const saving = saveState(vm, request);
      vm.migrating = saving.catch(() => undefined);
      try {
        return await saving;
      } finally {
        vm.migrating = undefined;
      }
    });
  }

  async suspend(vmId: string, request: port.SuspendRequest): Promise<port.Suspended> {
    const vm = this.fleet.get(vmId);
    const path = this.volumes.path(request.pool, request.file);
    return vm.exclusive(async () => {
      await noLongerSaving(vm);
      const suspending = suspend(vm, request, path);
      vm.migrating = suspending.catch(() => undefined);
      try {
        const outcome = await suspending;
        if (outcome.outcome === 'completed') void vm.mutex.runExclusive(() => vm.save({ givenAway: true })).catch(() => undefined);
        return outcome;
      } finally {
        vm.migrating = undefined;
      }
    });
  }
  async restore(vmId: string, state: port.StatePlace & port.SavedState): Promise<void> {
    const vm = this.fleet.get(vmId);
    const path = this.volumes.path(state.pool, state.file);
    await vm.exclusive(async () => {
      const restoring = restore(vm, path, state);
      vm.migrating = restoring.catch(() => undefined); // so that whoever ends the VM does not wait for it
      await restoring.finally(() => (vm.migrating = undefined));
    });
  }
  dropState(pool: string, file: string): Promise<void> {
    return this.volumes.delete(pool, file);
  }

  /** Also of a migration that an earlier driver began. */
  async cancelMigration(vmId: string): Promise<void> {
    const vm = this.fleet.get(vmId);
    if (!vm.migrating) return;
    vm.endCopy?.();
    await vm.explained(() => postCopy.assertNotUnderWay(vm.qmp));
    await vm.explained(() => vm.qmp.execute('migrate_cancel'));
    await vm.migrating;
  }

  async resume(vmId: string): Promise<{ resumedAtUs: number }> {
    const vm = this.fleet.get(vmId);
    if (vm.record.cold)
      return this.fleet.gate(vmId, () => {
        const now = this.fleet.get(vmId);
        return cold.startCold(this.fleet, now, () => this.how(now.topology, false));
      });
    return vm.exclusive(async () => {
      const { role, resumedAtUs: before } = vm.record;
      if (role === 'runner' && before !== undefined && vm.alive) return { resumedAtUs: before };
      if (role !== 'incoming') throw new HypervisorError('hypervisor.not_ready', `${vmId} was not prepared as a target here`, { role });
      if (await paused(vm)) return this.continued(vm);
      // Continued by an earlier life of this driver, which died before it wrote that down. The moment is not known; now is the latest.
      const resumedAtUs = Date.now() * 1000;
      await vm.save({ role: 'runner', resumedAtUs });
      return { resumedAtUs };
    });
  }

  private async continued(vm: Vm): Promise<{ resumedAtUs: number }> {
    if (vm.record.copyAddress !== undefined) void closeCopies(vm);
    const resumedAtUs = await continueVm(vm.qmp);
    // It runs already: what follows is not downtime. Switches learn the new place once more, now that the guest answers.
    if (!vm.record.quiet) void announceSelf(vm).catch(() => undefined);
    await vm.save({ role: 'runner', resumedAtUs });
    return { resumedAtUs };
  }

  async announce(vmId: string): Promise<void> {
    await announceSelf(this.fleet.get(vmId));
  }

  async reclaim(vmId: string): Promise<{ resumedAtUs: number }> {
    const vm = this.fleet.get(vmId);
    return vm.exclusive(async () => {
      const { status = 'silent' } = (await queryStatus(vm.qmp)) ?? {};
      if (vm.record.role !== 'runner' || !['postmigrate', 'paused', 'prelaunch'].includes(status))
        throw new HypervisorError('hypervisor.not_ready', `${vmId} was not given away: it is ${status}`, {
          state: status,
          role: vm.record.role,
        });
      const resumedAtUs = await continueVm(vm.qmp);
      await vm.save({ givenAway: false });
      return { resumedAtUs };
    });
  }

  destroy(vmId: string, { deleteVolumes }: { deleteVolumes: boolean }): Promise<void> {
    return this.fleet.gate(vmId, async () => {
      const vm = this.fleet.find(vmId);
      if (!vm) return;
      const ours = deleteVolumes && (await ownsVolumes(vm));
      await this.fleet.destroy(vm);
      if (!ours) return;
      for (const { pool, volume } of ownFiles(vm.topology)) await this.volumes.delete(pool, volume);
    });
  }
  async deleteVolume(pool: string, volume: string): Promise<void> {
    assertUnattached(this.topologies(), pool, volume);
    await this.volumes.deleteUnused(pool, volume);
  }
  createVolume(spec: port.NewVolume): Promise<port.VolumeMade> {
    return this.volumes.create(spec, this.config.copyDisk);
  }
  async growVolume(spec: port.VolumeSpec): Promise<void> {
    assertUnattached(this.topologies(), spec.pool, spec.volume);
    await this.volumes.grow(spec);
  }
  private topologies(): ReadonlyMap<string, Topology> {
    return new Map(this.fleet.list().map((vmId) => [vmId, this.fleet.get(vmId).topology]));
  }

  traces(minAgeMs: number): Promise<Trace[]> {
    return this.found.all(minAgeMs);
  }
  erase(trace: Trace): Promise<Erased> {
    return this.found.erase(trace);
  }

  async starved(vmId: string): Promise<readonly string[]> {
    const vm = this.fleet.get(vmId);
    return vm.connected && vm.record.role === 'runner' && !vm.record.givenAway ? power.starvedDisks(vm) : [];
  }

  async progress(vmId: string, withinMs: number): Promise<port.Progress> {
    const vm = this.fleet.get(vmId);
    return vm.explained(() => progressOf(vm.qmp, withinMs));
  }
  async pressReset(vmId: string): Promise<void> {
    const vm = this.fleet.get(vmId);
    await vm.exclusive(() => vm.qmp.execute('system_reset'));
  }

  async pressPower(vmId: string): Promise<void> {
    const vm = this.fleet.get(vmId);
    await vm.exclusive(() => vm.qmp.execute('system_powerdown'));
  }

  halt(vmId: string): Promise<void> {
    return this.fleet.gate(vmId, async () => {
      const vm = this.fleet.get(vmId);
      power.assertOwn(vm);
      if (vm.record.haltedAtUs === undefined || vm.alive) await vm.exclusive(() => this.fleet.halt(vm));
    });
  }
  start(vmId: string, next: port.NextLife = {}): Promise<port.Shaped> {
    return this.fleet.gate(vmId, async () => {
      const before = this.fleet.get(vmId);
      if (cold.isPrepared(before)) {
        await cold.startCold(this.fleet, before, () => this.how(before.topology, false));
        return this.fleet.get(vmId).shaped;
      }
      power.assertOwn(before);
      if (before.alive) {
        const started = await before.exclusive(() => power.startedAlready(before));
        if (started) return started;
        // Halted on disk before its process ends: who dies between the two leaves a VM that the same start starts.
        await before.exclusive(() => this.fleet.halt(before));
      }
      const off = this.fleet.get(vmId);
      await this.begins(off, next);
      const vm = await this.fleet.restart(off, await this.how(off.topology, false), async (v) => void (await continueVm(v.qmp)));
      return vm.shaped;
    });
  }
  /**
   * What its next life is other in. The seed's volume first: a record that says there is none is never of one that stays behind, with what may
   * be secret in it.
   */
  private async begins(off: Vm, next: port.NextLife): Promise<void> {
    const topology = anew(off.topology, next);
    if (topologyHash(topology) === off.record.topologyHash) return;
    for (const { pool, volume } of off.topology.disks.filter((d) => !topology.disks.includes(d))) await this.volumes.delete(pool, volume);
    await off.saveTopology(topology);
  }
  async pause(vmId: string): Promise<void> {
    const vm = this.fleet.get(vmId);
    await vm.exclusive(() => power.pause(vm));
  }
  async unpause(vmId: string): Promise<void> {
    const vm = this.fleet.get(vmId);
    await vm.exclusive(() => power.unpause(vm));
  }

  consoleOf(vmId: string): GuestConsole {
    return this.fleet.get(vmId).console;
  }
  async screen(vmId: string): Promise<Buffer> {
    const vm = this.fleet.get(vmId);
    return vm.explained(() => screenOf(vm));
  }

  onLifecycle(listener: (event: LifecycleEvent) => void): () => void {
    return this.fleet.lifecycles.on(listener);
  }
  onExit(listener: (exit: Exit) => void): () => void {
    return this.fleet.onExit(listener);
  }

  segments(): readonly SegmentPart[] {
    return this.networks.segments.parts();
  }
  onSegments(listener: () => void): () => void {
    return this.networks.segments.onChange(listener);
  }
  setSegmentPeers(vni: number, version: number, peers: readonly string[]): Promise<void> {
    return this.networks.segments.setPeers(vni, version, peers);
  }

  async close(): Promise<void> {
    this.networks.segments.close();
    await this.fleet.close();
  }
}
