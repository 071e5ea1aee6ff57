import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diskSerial, topologyHash } from '@chrysalis/contracts';
import type { Device, Topology } from '@chrysalis/contracts';
import type { BootSpec, HypervisorDriver, MigrateOutcome } from './driver.ts';
import type { HypervisorCode } from '@chrysalis/contracts';
import type { LifecycleEvent } from './lifecycle.ts';

/** Two hosts of one kind of driver. `a` and `b` give the driver of the moment; `lose` drops one as a killed host agent would. */
export type Rig = {
  a(): HypervisorDriver;
  b(): HypervisorDriver;
  lose(host: 'a' | 'b'): Promise<void>;
  guestUp(driver: HypervisorDriver, vmId: string): Promise<void>;
  /** The boot id, as the guest says it. */
  bootId(driver: HypervisorDriver, vmId: string): Promise<string>;
  /** Ends a VM's process behind the driver's back. */
  crash(host: 'a' | 'b', vmId: string): Promise<void>;
  /** What a guest does to its own machine, also while no driver holds it. */
  powerOff(host: 'a' | 'b', vmId: string): Promise<void>;
  reset(host: 'a' | 'b', vmId: string): Promise<void>;
  /** The guest writes where there is no room left. */
  ioError(host: 'a' | 'b', vmId: string): Promise<void>;
  /** Someone on the host, past the driver. */
  stop(host: 'a' | 'b', vmId: string): Promise<void>;
  continue(host: 'a' | 'b', vmId: string): Promise<void>;
  /** Loses the driver of `a`, and leaves the VM as one that is killed between the end of a save and the guest's continuation does. */
  strandInSave(vmId: string): Promise<void>;
  /** An address where nobody listens. */
  readonly nowhere: string;
  close(): Promise<void>;
};

const MOVED = 'vm-0192f7a0-0000-7000-8000-00000000c0de';
export const bootSpec = (vmId: string, over: Partial<BootSpec> = {}): BootSpec => ({
  vmId,
  uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a01',
  pool: 'shared',
  nics: [{ id: 'front', mac: '52:54:00:00:07:09', network: 'lan' }],
  image: { name: 'linux', version: 1, digest: `sha256:${'0'.repeat(64)}`, cmdline: 'console=ttyS0' },
  spec: {
    vcpus: { now: 1, max: 4 },
    memoryMiB: { now: 256, max: 1024 },
    disks: [{ id: 'data', sizeMiB: 64 }],
    nics: [{ id: 'front', network: 'lan' }],
    cpuModel: 'Westmere',
    requiredTraits: [],
  },
  ...over,
});
const disk = (id: string, port: number): Device => ({
  kind: 'disk',
  id,
  port,
  serial: diskSerial(id),
  sizeMiB: 32,
  format: 'raw',
  pool: 'shared',
  volume: `contract.${id}.raw`,
  readOnly: false,
});
/** The longest names that there can be, and alike up to their last letter. */
const LONG = ['x', 'y'].map((last) => `${'a-long-name-'.repeat(5)}of${last}`);
const nic = (id: string, port: number): Device => ({ kind: 'nic', id, port, mac: '52:54:00:00:07:0a', network: 'lan' });
const agentPort = { id: 'agent', nr: 2, name: 'org.chrysalis.agent.0' };
const limits = { downtimeLimitMs: 300, maxBandwidthMiBps: 1024 };

const refused = async (work: Promise<unknown>, code: HypervisorCode): Promise<void> => {
  await expect(work).rejects.toMatchObject({ name: 'HypervisorError', code });
};

/** What every driver must do, in one story: a VM is booted, changed, fails to move, moves with what was plugged, and ends. */
export const driverContract = (kind: string, open: () => Promise<Rig>, image?: () => Promise<BootSpec['image']>): void => {
  describe(`hypervisor driver: ${kind}`, () => {
    let rig: Rig;
    let spec: BootSpec;
    let bootId: string;
    const now = (driver: HypervisorDriver): Promise<Topology> => driver.status(MOVED).then((s) => s.topology);

    beforeAll(async () => {
      rig = await open();
      spec = bootSpec(MOVED, image ? { image: await image() } : {});
    }, 120_000);
    afterAll(() => rig?.close(), 30_000);
    const saves = mkdtempSync(join(tmpdir(), 'chy-saves-'));
    afterAll(() => rmSync(saves, { recursive: true, force: true }));

    test('says what its host can do', async () => {
      const facts = await rig.a().facts();
      expect(facts.cpuModels).toContain('Westmere');
      expect(facts.cpuModels).not.toContain('max');
      expect(facts.machineTypes).toContain('pc-q35-7.2');
      expect(facts.machineTypes).not.toContain('q35');
      expect(facts.storagePools).toContain('shared');
    });

    test('refuses what could not migrate, and leaves nothing of it', async () => {
      const model = (cpuModel: string): BootSpec => ({ ...spec, vmId: 'refused', spec: { ...spec.spec, cpuModel } });
      await refused(rig.a().boot(model('max')), 'hypervisor.cpu_model_unsafe');
      await refused(rig.a().boot(model('NoSuchModel')), 'hypervisor.cpu_unsupported');
      await refused(rig.a().boot({ ...spec, vmId: 'refused', machine: 'q35' }), 'hypervisor.machine_unsupported');
      await refused(rig.a().boot({ ...spec, vmId: 'refused', pool: 'elsewhere' }), 'hypervisor.pool_unknown');
      expect(rig.a().list()).not.toContain('refused');
      await refused(rig.a().status('refused'), 'hypervisor.vm_unknown');
    });

    test('boots a VM once, however often it is asked to', async () => {
      const first = await rig.a().boot(spec);
      const second = await rig.a().boot(spec);
      expect(second).toEqual(first);
      expect(topologyHash(first.topology)).toBe(first.topologyHash);
      expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', running: true, role: 'runner', migrating: false });
      await refused(rig.a().boot({ ...spec, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a02' }), 'hypervisor.vm_exists');
      await rig.guestUp(rig.a(), MOVED);
      bootId = await rig.bootId(rig.a(), MOVED);
    }, 40_000);

    test('plugs a device of each kind, once, and says what is there', async () => {
      const devices: Device[] = [
        { kind: 'cpu', id: 'cpu1', coreId: 1 },
        { kind: 'memory', id: 'dimm0', sizeMiB: 128 },
        { kind: 'memory', id: 'dimm1', sizeMiB: 128 },
        disk('extra', 4),
        nic('back', 5),
      ];
      for (const device of devices) {
        const after = await rig.a().plug(MOVED, device);
        expect(await rig.a().plug(MOVED, device)).toEqual(after);
      }
      await rig.a().plugSerialPort(MOVED, agentPort);
      const { topology, topologyHash: hash } = await rig.a().topology(MOVED);
      expect(topology.vcpus.plugged).toEqual([{ id: 'cpu1', coreId: 1 }]);
      expect(topology.memory.dimms.map((d) => d.id)).toEqual(['dimm0', 'dimm1']);
      expect(topology.disks.map((d) => [d.id, d.port])).toEqual([
        ['data', 0],
        ['extra', 4],
      ]);
      expect(topology.nics.map((n) => [n.id, n.port])).toEqual([
        ['front', 1],
        ['back', 5],
      ]);
      expect(topology.serialPorts.map((p) => p.nr)).toEqual([1, 2]);
      expect(hash).toBe(topologyHash(topology));
    }, 20_000);

    test('refuses a device that has no room, and changes nothing', async () => {
      const before = await rig.a().topology(MOVED);
      await refused(rig.a().plug(MOVED, disk('second', 4)), 'hypervisor.port_in_use');
      await refused(rig.a().plug(MOVED, disk('second', 8)), 'hypervisor.no_free_port');
      await refused(rig.a().plug(MOVED, { ...disk('extra', 4), sizeMiB: 33 } as Device), 'hypervisor.device_conflict');
      await refused(rig.a().plug(MOVED, { kind: 'cpu', id: 'cpu9', coreId: 1 }), 'hypervisor.no_free_cpu');
      await refused(rig.a().plug(MOVED, { kind: 'cpu', id: 'cpu9', coreId: 4 }), 'hypervisor.no_free_cpu');
      await refused(rig.a().plug(MOVED, { kind: 'memory', id: 'dimm4', sizeMiB: 128 }), 'hypervisor.no_free_memory');
      await refused(rig.a().plug(MOVED, { kind: 'memory', id: 'dimm2', sizeMiB: 1024 }), 'hypervisor.no_free_memory');
      await refused(rig.a().plug(MOVED, { ...nic('other', 6), network: 'nowhere' } as Device), 'hypervisor.network_unknown');
      await refused(rig.a().plugSerialPort(MOVED, { id: 'third', nr: 2, name: 'x' }), 'hypervisor.no_free_serial');
      expect(await rig.a().topology(MOVED)).toEqual(before);
    });

    test('disks grow and never shrink', async () => {
      const grown = await rig.a().resizeDisk(MOVED, 'data', 96);
      expect(grown.topology.disks.find((d) => d.id === 'data')?.sizeMiB).toBe(96);
      expect(await rig.a().resizeDisk(MOVED, 'data', 96)).toEqual(grown);
      await refused(rig.a().resizeDisk(MOVED, 'data', 64), 'hypervisor.disk_shrink_refused');
      await refused(rig.a().resizeDisk(MOVED, 'none', 64), 'hypervisor.device_unknown');
    });

    test('names as long as a type may give are names like others', async () => {
      const [one, two] = LONG as [string, string];
      const before = await rig.a().topology(MOVED);
      await rig.a().plug(MOVED, disk(one, 6));
      await refused(rig.a().plug(MOVED, { ...disk(two, 7), serial: diskSerial(one) } as Device), 'hypervisor.device_conflict');
      const { topology } = await rig.a().plug(MOVED, disk(two, 7));
      expect(topology.disks.slice(-2).map((d) => [d.id, d.serial])).toEqual(LONG.map((id) => [id, diskSerial(id)]));
      expect((await rig.a().resizeDisk(MOVED, two, 48)).topology.disks.at(-1)?.sizeMiB).toBe(48);
      for (const id of LONG) await rig.a().unplug(MOVED, { kind: 'disk', id }, 15_000);
      await rig.a().plug(MOVED, nic(one, 6));
      expect(await rig.a().unplug(MOVED, { kind: 'nic', id: one }, 15_000)).toEqual(before);
    }, 60_000);

    test('unplugs what the guest lets go, once', async () => {
      await rig.a().unplug(MOVED, { kind: 'memory', id: 'dimm0' }, 15_000);
      await rig.a().unplug(MOVED, { kind: 'nic', id: 'back' }, 15_000);
      const after = await rig.a().unplug(MOVED, { kind: 'disk', id: 'extra' }, 15_000);
      expect(await rig.a().unplug(MOVED, { kind: 'disk', id: 'extra' }, 15_000)).toEqual(after);
      expect(after.topology.memory.dimms.map((d) => d.id)).toEqual(['dimm1']);
      expect([after.topology.disks.length, after.topology.nics.length]).toEqual([1, 1]);
      // The same again: what an unplug left behind on the host would refuse it.
      await rig.a().plug(MOVED, nic('back', 5));
      const last = await rig.a().unplug(MOVED, { kind: 'nic', id: 'back' }, 15_000);
      expect(last).toEqual(after);
    }, 60_000);

    test('unplugs a CPU, or says before it asks that this host does not survive it', async () => {
      const { cpuHotUnplug } = await rig.a().facts();
      if (!cpuHotUnplug) return refused(rig.a().unplug(MOVED, { kind: 'cpu', id: 'cpu1' }, 15_000), 'hypervisor.unplug_unsafe');
      const { topology } = await rig.a().unplug(MOVED, { kind: 'cpu', id: 'cpu1' }, 15_000);
      expect(topology.vcpus.plugged).toEqual([]);
      await rig.a().plug(MOVED, { kind: 'cpu', id: 'cpu1', coreId: 1 });
    }, 20_000);

    test('takes its VMs over again after it was lost', async () => {
      const before = await rig.a().status(MOVED);
      await rig.lose('a');
      await refused(rig.a().status(MOVED), 'hypervisor.vm_unknown');
      expect(await rig.a().adopt()).toEqual([before]);
      expect(await rig.a().topology(MOVED)).toEqual({ topology: before.topology, topologyHash: before.topologyHash });
      expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
    });

    test('a guest that powers itself off is told with its cause, told from a crash also where nobody was there, and destroyed', async () => {
      const vmId = 'vm-0192f7a0-0000-7000-8000-0000000000ff';
      const other = { ...spec, vmId, uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6aff', nics: [], spec: { ...spec.spec, nics: [] } };
      const off = { state: 'gone', running: false, observed: { state: 'shut-down', why: { code: 'vm.shut_down', by: 'guest' } } };
      for (const present of [true, false]) {
        await rig.a().boot(other);
        const heard = listen(rig.a());
        const exited = new Promise<unknown>((resolve) => rig.a().onExit(resolve));
        if (!present) await rig.lose('a');
        await rig.powerOff('a', vmId);
        if (present) {
          expect(await exited).toMatchObject({ vmId });
          expect(heard.of(vmId)).toEqual([['shut-down', 'shut-down', false]]);
        }
        if (!present) await untilGone(async () => (await rig.a().adopt()).find((v) => v.vmId === vmId)!, () => rig.lose('a')); // prettier-ignore
        expect(await rig.a().status(vmId)).toMatchObject(off);
        await refused(rig.a().plug(vmId, disk('late', 4)), 'hypervisor.qemu_exited');
        await rig.a().destroy(vmId, { deleteVolumes: true });
        expect(rig.a().list()).toEqual([MOVED]);
        heard.stop();
      }
    }, 60_000);

    const save = { downtimeLimitMs: 300, maxPauseMs: 5_000, deadlineMs: 30_000 };
    const expectItRunsOn = async (): Promise<void> => {
      expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', running: true, role: 'runner', migrating: false });
      expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
    };

    test('saves what a running VM has in memory to a file, and the VM runs on', async () => {
      const file = join(saves, 'first');
      const heard = listen(rig.a());
      const saved = await rig.a().saveState(MOVED, { ...save, file });
      heard.stop();
      expect(heard.of(MOVED).filter(([kind, , migrating]) => kind === 'stopped' && !migrating)).toEqual([]);
      await expectItRunsOn();
      const { topologyHash: hash } = await rig.a().status(MOVED);
      expect(saved).toMatchObject({ topologyHash: hash, bytes: statSync(file).size });
      const pausedMs = (saved.resumedAtUs - saved.stoppedAtUs) / 1000;
      expect(pausedMs).toBeGreaterThanOrEqual(0);
      expect(pausedMs).toBeLessThan(2_000);
      process.stdout.write(`${kind}: saved ${saved.bytes} bytes, the guest stood still for ${pausedMs.toFixed(1)} ms\n`);
      const again = await rig.a().saveState(MOVED, { ...save, file: join(saves, 'second') });
      expect(again.stoppedAtUs).toBeGreaterThan(saved.resumedAtUs);
    }, 60_000);

    test('a save that cannot be written, takes too long or is cancelled leaves the VM running', async () => {
      await refused(rig.a().saveState(MOVED, { ...save, file: join(saves, 'no', 'directory') }), 'hypervisor.save_failed');
      await expectItRunsOn();
      const there = join(saves, 'there');
      writeFileSync(there, 'another');
      await refused(rig.a().saveState(MOVED, { ...save, file: there }), 'hypervisor.save_failed');
      expect(readFileSync(there, 'utf8')).toBe('another');
      const slow = { ...save, downtimeLimitMs: 1 };
      await refused(rig.a().saveState(MOVED, { ...slow, deadlineMs: 5, file: join(saves, 'late') }), 'hypervisor.save_timeout');
      await expectItRunsOn();
      await refused(rig.a().saveState(MOVED, { ...save, maxPauseMs: 1, file: join(saves, 'still') }), 'hypervisor.save_timeout');
      await expectItRunsOn();
      const abort = AbortSignal.abort();
      const stopped = rig.a().saveState(MOVED, { ...slow, file: join(saves, 'cancelled'), signal: abort });
      await refused(stopped, 'hypervisor.migration_cancelled');
      await expectItRunsOn();
    }, 60_000);

    test('during a save nothing else is done to the VM, and a second save is refused', async () => {
      const saving = rig.a().saveState(MOVED, { ...save, downtimeLimitMs: 1, file: join(saves, 'long') });
      while (!(await rig.a().status(MOVED)).migrating) await new Promise((resolve) => setImmediate(resolve));
      await refused(rig.a().plug(MOVED, nic('back', 5)), 'hypervisor.migrating');
      await refused(rig.a().saveState(MOVED, { ...save, file: join(saves, 'beside') }), 'hypervisor.migrating');
      await saving;
      await expectItRunsOn();
    }, 60_000);

    test('a VM that a killed driver left standing in a save is continued by the next one', async () => {
      await rig.strandInSave(MOVED);
      expect(await rig.a().adopt()).toMatchObject([{ vmId: MOVED, state: 'running', role: 'runner' }]);
      await expectItRunsOn();
      await rig.lose('a');
      await rig.a().adopt();
      await expectItRunsOn();
    }, 60_000);

    test('a target of another shape than was hashed is refused, and none is started', async () => {
      const t = await now(rig.a());
      const other = { ...t, vcpus: { ...t.vcpus, max: 8 } };
      await refused(rig.b().prepareTarget({ vmId: MOVED, topology: other, topologyHash: topologyHash(t) }), 'hypervisor.topology_mismatch');
      expect(rig.b().list()).toEqual([]);
    });

    const prepare = async (): Promise<string> => {
      const topology = await now(rig.a());
      const request = { vmId: MOVED, topology, topologyHash: topologyHash(topology) };
      const { migrationAddress } = await rig.b().prepareTarget(request);
      expect(await rig.b().prepareTarget(request)).toEqual({ migrationAddress });
      expect(await rig.b().status(MOVED)).toMatchObject({ role: 'incoming', state: 'inmigrate', running: false });
      return migrationAddress;
    };
    const expectSourceRuns = async (result: MigrateOutcome, code: HypervisorCode): Promise<void> => {
      expect(result).toMatchObject({ outcome: 'failed', running: true, cause: { code } });
      expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', role: 'runner', migrating: false });
      expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
    };

    test('a migration to nowhere fails and the source runs on', async () => {
      await expectSourceRuns(await rig.a().migrate(MOVED, { address: rig.nowhere, limits }), 'hypervisor.migration_failed');
    }, 20_000);

    test('a target that dies under the stream fails the migration, and the source runs on', async () => {
      const address = await prepare();
      const migrating = rig.a().migrate(MOVED, { address, limits: { ...limits, maxBandwidthMiBps: 20 }, progressEveryMs: 20 });
      await untilMigrating(rig.a(), MOVED);
      await refused(rig.a().plug(MOVED, nic('back', 5)), 'hypervisor.migrating');
      await rig.crash('b', MOVED);
      await expectSourceRuns(await migrating, 'hypervisor.migration_failed');
      expect(await rig.b().status(MOVED)).toMatchObject({ state: 'gone', running: false });
      await refused(rig.b().resume(MOVED), 'hypervisor.not_ready');
      await rig.b().destroy(MOVED, { deleteVolumes: true });
      expect(rig.b().list()).toEqual([]);
    }, 30_000);

    test('a cancelled migration leaves the source running', async () => {
      const address = await prepare();
      const slow = { address, limits: { ...limits, maxBandwidthMiBps: 20 }, progressEveryMs: 20 };
      const migrating = rig.a().migrate(MOVED, slow);
      await untilMigrating(rig.a(), MOVED);
      await rig.a().cancelMigration(MOVED);
      await expectSourceRuns(await migrating, 'hypervisor.migration_cancelled');
      await rig.b().destroy(MOVED, { deleteVolumes: true });
    }, 30_000);

    test('a resume before the stream is in is refused, and so is a save', async () => {
      await prepare();
      await refused(rig.b().resume(MOVED), 'hypervisor.not_ready');
      await refused(rig.b().saveState(MOVED, { ...save, file: join(saves, 'target') }), 'hypervisor.not_ready');
      await rig.b().destroy(MOVED, { deleteVolumes: true });
    }, 30_000);

    test('a source that was given away can be taken back while nobody runs', async () => {
      const result = await rig.a().migrate(MOVED, { address: await prepare(), limits });
      expect(result.outcome).toBe('completed');
      await rig.b().destroy(MOVED, { deleteVolumes: true });
      expect((await rig.a().status(MOVED)).running).toBe(false);
      await rig.a().reclaim(MOVED);
      expect(await rig.a().status(MOVED)).toMatchObject({ state: 'running', role: 'runner' });
      expect(await rig.bootId(rig.a(), MOVED)).toBe(bootId);
      await refused(rig.a().reclaim(MOVED), 'hypervisor.not_ready');
    }, 30_000);

    test('moves with what was plugged while it ran; the target waits to be resumed', async () => {
      const address = await prepare();
      const phases: number[] = [];
      const onProgress = (p: { bytesRemaining: number }): void => void phases.push(p.bytesRemaining);
      const heard = [listen(rig.a()), listen(rig.b())];
      const result = await rig.a().migrate(MOVED, { address, limits, onProgress, progressEveryMs: 20, stallMs: 20_000 });
      if (result.outcome !== 'completed') throw result.cause;
      expect((await rig.a().status(MOVED)).state).toBe('postmigrate');
      expect((await rig.b().status(MOVED)).state).toBe('paused');
      for (const end of [rig.a(), rig.b()]) expect((await end.status(MOVED)).observed).toBeUndefined();

      const { resumedAtUs } = await rig.b().resume(MOVED);
      const downtimeMs = (resumedAtUs - result.stoppedAtUs) / 1000;
      expect(downtimeMs).toBeGreaterThanOrEqual(0);
      expect(downtimeMs).toBeLessThan(2_000);
      expect(await rig.b().resume(MOVED)).toEqual({ resumedAtUs });
      expect(await rig.b().status(MOVED)).toMatchObject({ observed: { state: 'running' } });
      const news = heard.flatMap((h) => (h.stop(), h.of(MOVED))).filter(([kind, , migrating]) => kind !== 'resumed' && !migrating);
      expect(news).toEqual([]); // a stop at a switch-over is none of the guest's
      const statistics = await result.statistics;
      expect(statistics.transferredBytes).toBeGreaterThan(1_000_000);
      expect(phases.length).toBeGreaterThan(0);
      process.stdout.write(`${kind}: downtime ${downtimeMs.toFixed(1)} ms, whole migration ${statistics.totalMs} ms\n`);

      const { topology } = await rig.b().topology(MOVED);
      expect(topology.vcpus.plugged).toEqual([{ id: 'cpu1', coreId: 1 }]);
      expect(topology.memory.dimms).toEqual([{ id: 'dimm1', sizeMiB: 128 }]);
      expect(await rig.bootId(rig.b(), MOVED)).toBe(bootId);
    }, 60_000);

    test('the source that was left goes without the disks it no longer owns', async () => {
      await rig.a().destroy(MOVED, { deleteVolumes: true });
      await rig.a().destroy(MOVED, { deleteVolumes: true });
      expect(rig.a().list()).toEqual([]);
      expect(await rig.b().status(MOVED)).toMatchObject({ state: 'running', role: 'runner' });
      // It moves back: its disks are there.
      const topology = await now(rig.b());
      await rig.a().prepareTarget({ vmId: MOVED, topology, topologyHash: topologyHash(topology) });
      await rig.a().destroy(MOVED, { deleteVolumes: false });
    }, 30_000);

    test('a stop, a full pool and a restart of the guest are told and shown, and that it goes on', async () => {
      const heard = listen(rig.b());
      const shows = (observed: object): Promise<void> => untilSeen(rig.b(), MOVED, observed);
      await shows({ state: 'running' });
      await rig.stop('b', MOVED);
      await shows({ state: 'paused', why: { code: 'vm.stopped', by: 'host' } });
      await rig.continue('b', MOVED);
      await shows({ state: 'running' });
      await rig.ioError('b', MOVED);
      await shows({ state: 'io-error', why: { code: 'vm.io_error', message: expect.stringContaining('no space left') } });
      await refused(rig.b().migrate(MOVED, { address: rig.nowhere, limits }), 'hypervisor.not_ready');
      await rig.continue('b', MOVED);
      await shows({ state: 'running' });
      await rig.reset('b', MOVED);
      await heard.until(MOVED, 'reset');
      await shows({ state: 'running' });
      heard.stop();
      const news = heard.of(MOVED).map(([kind, state]) => `${kind}: ${state}`);
      // Firmware that finds itself started already may reset the machine once more: how often is not ours to say.
      expect(news.filter((n, i) => n !== 'reset: running' || news[i - 1] !== n)).toEqual([
        'stopped: paused',
        'resumed: running',
        'io-error: io-error',
        'resumed: running',
        'reset: running',
      ]);
    }, 30_000);

    test('a process that ends by itself is told, adopted as gone, and can be destroyed', async () => {
      const told = new Promise<{ vmId: string }>((resolve) => rig.b().onExit(resolve));
      await rig.crash('b', MOVED);
      expect(await told).toMatchObject({ vmId: MOVED });
      await refused(rig.b().plug(MOVED, nic('back', 5)), 'hypervisor.qemu_exited');
      await rig.lose('b');
      expect(await rig.b().adopt()).toMatchObject([{ vmId: MOVED, state: 'gone', observed: { state: 'gone', why: { code: 'vm.gone' } } }]);
      await rig.b().destroy(MOVED, { deleteVolumes: true });
      expect(await rig.b().adopt()).toEqual([]);
    }, 30_000);
  });
};

const untilMigrating = async (driver: HypervisorDriver, vmId: string): Promise<void> => {
  while (!(await driver.status(vmId)).migrating) await new Promise((resolve) => setImmediate(resolve));
  await new Promise((resolve) => setTimeout(resolve, 60));
};

/** What is told from now on: kind, state, and whether a migration or a save was under way. */
const listen = (driver: HypervisorDriver) => {
  const events: LifecycleEvent[] = [];
  const stop = driver.onLifecycle((event) => void events.push(event));
  const of = (vmId: string) => events.filter((e) => e.vmId === vmId).map((e) => [e.kind, e.state, e.migrating] as const);
  const until = async (vmId: string, kind: LifecycleEvent['kind']): Promise<void> => {
    while (!of(vmId).some(([k]) => k === kind)) await pause();
  };
  return { stop, of, until };
};

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

const untilSeen = async (driver: HypervisorDriver, vmId: string, observed: object): Promise<void> => {
  const until = Date.now() + 10_000;
  const wanted = (observed as { state: string }).state;
  while ((await driver.status(vmId)).observed?.state !== wanted && Date.now() < until) await pause();
  expect(await driver.status(vmId)).toMatchObject({ observed });
};

/** Adopted anew until its process has ended: nobody was told. */
const untilGone = async (look: () => Promise<{ state: string }>, lose: () => Promise<void>): Promise<void> => {
  while ((await look()).state !== 'gone') {
    await pause();
    await lose();
  }
};
