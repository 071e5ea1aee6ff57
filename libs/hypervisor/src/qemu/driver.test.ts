import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diskSerial, stateFile, volumeFile } from '@chrysalis/contracts';
import { onQemu, until } from '@chrysalis/testing';
import { MissingTool } from '../../../../infra/guest/debian.ts';
import { ensureGuestImage } from '../../../../infra/guest/image.ts';
import { ensureSecondQemu } from '../../../../infra/hypervisor/second-qemu.ts';
import { bootDisk } from '../test/boot-disk.ts';
import { efiDisk } from '../test/efi-disk.ts';
import { driverContract } from '../test/driver-contract/contract.ts';
import { bootImage, bootSpec, type Rig } from '../test/driver-contract/rig.ts';
import { CONSOLE_BYTES } from '../console.ts';
import type { HypervisorDriver } from '../driver.ts';
import { QgaClient } from '../guest/index.ts';
import { QmpClient } from '../qmp.ts';
import { QemuDriver } from './driver.ts';
import { setSaveCapabilities } from './migration.ts';
import { kill } from './process.ts';
import { readRecord, sweepStateDir, VmFiles, writeRecord } from './state.ts';
import type { CopyDisk } from './volumes.ts';

const cacheDir = new URL('../../../../.cache', import.meta.url).pathname;

const withGuest = async <T>(driver: HypervisorDriver, vmId: string, work: (qga: QgaClient) => Promise<T>): Promise<T> => {
  const qga = new QgaClient(await driver.openSerialPort(vmId, 'qga'));
  try {
    await qga.sync(90_000);
    return await work(qga);
  } finally {
    qga.close();
  }
};

/** The same writes to the machine's ports as a guest's kernel does. */
const hmp = (qmp: QmpClient, line: string): Promise<unknown> => qmp.execute('human-monitor-command', { 'command-line': line });

/** Again until QEMU goes: its firmware has to have set the port up. */
const powerOff = async (qmp: QmpClient): Promise<void> => {
  while (!qmp.isClosed) await hmp(qmp, 'o /w 0x604 0x2000').then(() => sleep(20), () => undefined); // prettier-ignore
};

/** As on a host whose QEMU was told to keep what ended, to look into it. */
const endInside = async (qmp: QmpClient): Promise<void> => {
  await qmp.execute('set-action', { shutdown: 'pause' });
  while ((await qmp.execute<{ status: string }>('query-status')).status !== 'shutdown')
    await hmp(qmp, 'o /w 0x604 0x2000').then(() => sleep(20));
};

/** A disk on which the first write finds no room, as in a full pool; the next one does. */
const plugFull = async (qmp: QmpClient, file: string): Promise<void> => {
  writeFileSync(file, Buffer.alloc(1024 * 1024));
  const rules = [{ event: 'write_aio', errno: 28, once: true }];
  await qmp.execute('blockdev-add', {
    driver: 'raw',
    'node-name': 'block-full',
    file: { driver: 'blkdebug', image: { driver: 'file', filename: file }, 'inject-error': rules },
  });
  await qmp.execute('device_add', { driver: 'virtio-blk-pci', id: 'full', bus: 'rp7', drive: 'block-full', serial: 'full' });
};

const copyBootDisk: CopyDisk = async (from, { path, sizeMiB }) => {
  const byUefi = 'disk' in from && from.disk?.firmware === 'uefi';
  writeFileSync(`${path}.raw`, byUefi ? efiDisk() : bootDisk());
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', `${path}.raw`, path]);
  execFileSync('qemu-img', ['resize', '-q', '-f', 'qcow2', path, `${sizeMiB}M`]);
  rmSync(`${path}.raw`);
};

/** The two hosts have two versions of QEMU, where that can be: what one sends the other takes, in both directions. */
const secondQemu = async (): Promise<string | undefined> => {
  try {
    return (await ensureSecondQemu({ cacheDir })).program;
  } catch (error) {
    if (!(error instanceof MissingTool)) throw error;
    console.error(`both hosts have the same QEMU: ${error.message}`);
    return undefined;
  }
};

/** `alike`: both hosts have the newer QEMU. `strandInPrepare`: loses the driver of `b`, and leaves the VM as one that is killed between the start of a target's QEMU and its record does. */
const rig = async ({ alike = false } = {}): Promise<Rig & { strandInPrepare(vmId: string): Promise<void> }> => {
  const dir = mkdtempSync(join(tmpdir(), 'chy-driver-'));
  const { kernel, initrd } = await ensureGuestImage({ cacheDir });
  const second = await secondQemu();
  const make = (host: 'a' | 'b'): QemuDriver =>
    new QemuDriver({
      stateDir: join(dir, host),
      address: '127.0.0.1',
      pools: { shared: { directory: join(dir, 'pool'), shared: true }, local: { directory: join(dir, `local-${host}`), shared: false } },
      networks: { lan: { kind: 'isolated' } },
      resolveImage: async () => ({ kernel, initrd }),
      copyDisk: copyBootDisk,
      ...((host === 'b' || alike) && second ? { qemu: second } : {}),
    });
  const drivers = { a: make('a'), b: make('b') };
  const monitor = async (host: 'a' | 'b', vmId: string, work: (qmp: QmpClient) => Promise<void>): Promise<void> => {
    const qmp = await QmpClient.connect(new VmFiles(join(dir, host), vmId).socket('qmp-spare'));
    try {
      await work(qmp);
    } finally {
      qmp.close();
    }
  };
  return {
    a: () => drivers.a,
    b: () => drivers.b,
    strandInPrepare: async (vmId) => {
      await drivers.b.close();
      const files = new VmFiles(join(dir, 'b'), vmId);
      const { migrationAddress: _, ...record } = readRecord(files)!;
      await writeRecord(files, record);
      drivers.b = make('b');
    },
    lose: async (host) => {
      await drivers[host].close();
      drivers[host] = make(host);
    },
    guestUp: (driver, vmId) => withGuest(driver, vmId, (qga) => qga.ping()),
    bootId: (driver, vmId) => withGuest(driver, vmId, async (qga) => (await qga.shell('cat /proc/sys/kernel/random/boot_id')).trim()),
    leaveMark: (driver, vmId, text) => withGuest(driver, vmId, async (qga) => void (await qga.shell(`echo ${text} > /data/mark && sync`))),
    fill: (driver, vmId, sizeMiB) =>
      withGuest(driver, vmId, async (qga) => void (await qga.shell(`dd if=/dev/urandom of=/data/fill bs=1M count=${sizeMiB} && sync`))),
    mark: (driver, vmId) => withGuest(driver, vmId, async (qga) => (await qga.shell('cat /data/mark')).trim()),
    slowMiBps: 16,
    writes: (driver, vmId) =>
      withGuest(driver, vmId, async (qga) => {
        const forever = 'while :; do dd if=/dev/urandom of=/tmp/w/run bs=1M count=40 conv=notrunc; done';
        await qga.shell('mkdir -p /tmp/w && mount -t tmpfs none /tmp/w && dd if=/dev/urandom of=/tmp/w/run bs=1M count=40');
        await qga.start('/bin/sh', ['-c', forever], false);
      }),
    cut: (vmId) => monitor('a', vmId, async (qmp) => void (await qmp.execute('migrate-pause'))),
    strandInSave: async (vmId) => {
      await drivers.a.close();
      const files = new VmFiles(join(dir, 'a'), vmId);
      const record = readRecord(files)!;
      await writeRecord(files, { ...record, saving: true });
      const qmp = await QmpClient.connect(files.socket('qmp-spare'));
      await setSaveCapabilities(qmp);
      const end = qmp.waitFor('MIGRATION', (e) => e.data['status'] === 'completed', 60_000);
      await qmp.execute('migrate', { uri: 'exec:cat > /dev/null' });
      await end.promise;
      // `completed` is said a moment before.
      while ((await qmp.execute<{ status: string }>('query-status')).status === 'finish-migrate');
      expect(await qmp.execute('query-status')).toMatchObject({ status: 'postmigrate' });
      qmp.close();
      drivers.a = make('a');
    },
    crash: async (host, vmId) => {
      const record = readRecord(new VmFiles(join(dir, host), vmId));
      await kill(record!.process!);
    },
    powerOff: (host, vmId) => monitor(host, vmId, powerOff),
    reset: (host, vmId) => monitor(host, vmId, async (qmp) => void (await hmp(qmp, 'o /b 0xcf9 6'))),
    endsInside: (host, vmId) => monitor(host, vmId, endInside),
    stop: (host, vmId) => monitor(host, vmId, async (qmp) => void (await qmp.execute('stop'))),
    continue: (host, vmId) => monitor(host, vmId, async (qmp) => void (await qmp.execute('cont'))),
    ioError: async (host, vmId) => {
      await monitor(host, vmId, (qmp) => plugFull(qmp, join(dir, `full-${host}`)));
      // The shell waits for the disk, and then writes; nobody waits for the shell, as the guest will stand still.
      const wait = 'until d=$(grep -l full /sys/block/vd*/serial); do sleep 0.05; done; d=${d%/serial};';
      const script = wait + ' exec dd if=/dev/zero of=/dev/${d##*/} bs=4096 count=1 oflag=direct';
      await withGuest(drivers[host], vmId, async (qga) => void (await qga.start('/bin/sh', ['-c', script], false)));
    },
    boots: async (driver, vmId, times) =>
      void (await until(async () =>
        driver
          .consoleOf(vmId)
          .read(-CONSOLE_BYTES, 2 * CONSOLE_BYTES)
          .bytes.includes(`boot ${times}`),
      )),
    seed: (driver, vmId) =>
      withGuest(driver, vmId, (qga) =>
        qga
          .shell('for d in /sys/block/vd*; do grep -q chrysalis.seed $d/serial && head -n 1 /dev/${d##*/}; done; true')
          .then((text) => text.trim()),
      ),
    volumes: () => (existsSync(join(dir, 'pool')) ? readdirSync(join(dir, 'pool')).sort() : []),
    localVolumes: (host) => (existsSync(join(dir, `local-${host}`)) ? readdirSync(join(dir, `local-${host}`)).sort() : []),
    nowhere: 'tcp:127.0.0.1:1',
    close: async () => {
      await drivers.a.close();
      await drivers.b.close();
      const { killed } = await sweepStateDir(join(dir, 'a'));
      const { killed: other } = await sweepStateDir(join(dir, 'b'));
      const left = ['a', 'b'].flatMap((h) => (existsSync(join(dir, h, 'vms')) ? readdirSync(join(dir, h, 'vms')) : []));
      rmSync(dir, { recursive: true, force: true });
      if (killed + other + left.length > 0) throw new Error(`left behind: ${killed + other} QEMU, ${left.length} VMs`);
    },
  };
};

onQemu('the hypervisor driver on real QEMU', () => {
  driverContract('qemu', rig, async () => {
    const { cmdline, digest } = await ensureGuestImage({ cacheDir });
    return { name: 'linux', version: 1, digest, cmdline };
  });

  describe('qemu driver', () => {
    let two: Awaited<ReturnType<typeof rig>>;
    const vmId = 'vm-alone';
    beforeAll(async () => {
      two = await rig();
      const { cmdline, digest } = await ensureGuestImage({ cacheDir });
      await two.a().boot(bootSpec(vmId, { image: { name: 'linux', version: 1, digest, cmdline } }));
    }, 600_000);
    afterAll(async () => {
      await two.a().destroy(vmId, { deleteVolumes: true });
      await two.b().destroy(vmId, { deleteVolumes: true });
      await two.close();
    });

    test('a guest that does not listen (it boots) answers no unplug: said by the deadline, again and again', async () => {
      const ask = two.a().unplug(vmId, { kind: 'nic', id: 'front' }, 200);
      await expect(ask).rejects.toMatchObject({ code: 'hypervisor.unplug_timeout' });
      await expect(two.a().unplug(vmId, { kind: 'nic', id: 'front' }, 200)).rejects.toMatchObject({ code: 'hypervisor.unplug_timeout' });
      expect((await two.a().topology(vmId)).topology.nics).toHaveLength(1);
    });

    test('its firmware boots from what is named at a start, and from the root disk again; a reboot changes nothing', async () => {
      const [id, pool] = ['vm-orders', 'shared'];
      const [name, own] = [`volume-${randomUUID()}`, { ...bootSpec(id, { image: bootImage, nics: [] }), uuid: randomUUID() }];
      const file = { pool, volume: volumeFile(name), format: 'qcow2' as const, sizeMiB: 1 };
      await two.a().createVolume({ ...file, from: { kind: 'image', image: bootImage } });
      await two.a().boot({ ...own, spec: { ...own.spec, nics: [], disks: [] } });
      await two.boots(two.a(), id, 1);
      const disk = { kind: 'disk' as const, id: name, serial: diskSerial(name), port: 3, readOnly: false, ...file };
      await two.a().plug(id, disk);
      await two.a().pressReset(id);
      await two.boots(two.a(), id, 2);
      const lives = async (bootOrder?: string[]): Promise<string[] | undefined> => {
        await two.a().halt(id);
        const { topology } = await two.a().start(id, { bootOrder });
        await two.a().topology(id);
        return topology.bootOrder;
      };
      // The volume counts its own boots: what is said next is its first, and then the third of the root disk.
      const said = (): string[] => two.a().consoleOf(id).read(-CONSOLE_BYTES, 2 * CONSOLE_BYTES).bytes.toString('latin1').match(/boot \d/g) ?? []; // prettier-ignore
      expect(await lives([name, 'root'])).toEqual([name, 'root']);
      await until(async () => said().length === 3);
      expect(await lives()).toEqual([name, 'root']);
      await until(async () => said().length === 4);
      await two.a().halt(id);
      await two.a().unplug(id, { kind: 'disk', id: name }, 1_000);
      expect(await lives([name])).toBeUndefined();
      await until(async () => said().length === 5);
      expect(said()).toEqual(['boot 1', 'boot 2', 'boot 1', 'boot 2', 'boot 3']);
      await two.a().destroy(id, { deleteVolumes: true });
      await two.a().deleteVolume(pool, file.volume);
    });

    test('a monitor that is lost while its QEMU runs on is taken again, and what happens then is told', async () => {
      const { fleet } = two.a() as unknown as { fleet: { get(id: string): { qmp: QmpClient } } };
      fleet.get(vmId).qmp.close();
      expect(await two.a().status(vmId)).toMatchObject({ state: 'unknown', running: false });
      expect((await two.a().status(vmId)).observed).toBeUndefined();
      await until(async () => (await two.a().status(vmId)).running);
      const told = new Promise((resolve) => two.a().onLifecycle(resolve));
      await two.stop('a', vmId);
      expect(await told).toMatchObject({ vmId, kind: 'stopped', state: 'paused' });
      await two.continue('a', vmId);
    });

    test('a second QEMU on the same volume is refused by QEMU, whatever we got wrong', async () => {
      const { topology } = await two.a().status(vmId);
      const thief = { kind: 'disk', ...topology.disks[0]!, id: 'thief', port: 5 } as const;
      const other = bootSpec('vm-other', { uuid: '5f0c3a86-3a4b-4d7e-9a43-6b8a5f0d6a09', nics: [], image: topology.image });
      await two.b().boot({ ...other, spec: { ...other.spec, disks: [] } });
      await expect(two.b().plug('vm-other', thief)).rejects.toMatchObject({ code: 'hypervisor.volume_locked' });
      expect((await two.b().topology('vm-other')).topology.disks).toEqual([]);
      await two.b().destroy('vm-other', { deleteVolumes: true });
    });

    test('a migration that an earlier driver began is seen and can be cancelled', async () => {
      const { topology, topologyHash } = await two.a().status(vmId);
      const { migrationAddress: address } = await two.b().prepareTarget({ vmId, topology, topologyHash });
      let lost: Promise<void> | undefined;
      const limits = { downtimeLimitMs: 1, maxBandwidthMiBps: 1 };
      await new Promise<void>((begun) => {
        const orphan = two.a().migrate(vmId, { address, limits, progressEveryMs: 20, onProgress: () => begun() });
        lost = expect(orphan).rejects.toMatchObject({ code: 'hypervisor.qmp_closed' });
      });
      await two.lose('a');
      await lost;
      expect(await two.a().adopt()).toMatchObject([{ vmId, running: true, migrating: true }]);
      await two.a().cancelMigration(vmId);
      expect(await two.a().status(vmId)).toMatchObject({ running: true, migrating: false });
    });

    test('a target whose driver died before it knew where its QEMU listens is made anew by the next one that is asked', async () => {
      await two.b().destroy(vmId, { deleteVolumes: false }); // what the test before left
      const { topology, topologyHash } = await two.a().status(vmId);
      await two.b().prepareTarget({ vmId, topology, topologyHash });
      await two.strandInPrepare(vmId);
      const [half] = await two.b().adopt();
      expect(half).toMatchObject({ vmId, role: 'incoming', state: 'inmigrate' });
      const { migrationAddress: address } = await two.b().prepareTarget({ vmId, topology, topologyHash });
      expect((await two.b().status(vmId)).pid).not.toBe(half!.pid);
      expect(await two.b().prepareTarget({ vmId, topology, topologyHash })).toEqual({ migrationAddress: address });
      expect(address).toMatch(/^tcp:/);
    });

    test('a guest that writes faster than the link carries is a stall with its true cause, and runs on', async () => {
      await two.b().destroy(vmId, { deleteVolumes: false });
      const { topology, topologyHash } = await two.a().status(vmId);
      const { migrationAddress: address } = await two.b().prepareTarget({ vmId, topology, topologyHash });
      const again = 'dd if=/tmp/x of=/tmp/y bs=1M conv=notrunc 2>/dev/null';
      // Far faster than the link also where it gets little of a busy machine: one that stood still for some passes would be sent.
      const write = `dd if=/dev/urandom of=/tmp/x bs=1M count=16 2>/dev/null; while :; do ${again}; done`;
      await withGuest(two.a(), vmId, async (qga) => void (await qga.start('/bin/sh', ['-c', write], false)));
      const limits = { downtimeLimitMs: 1, maxBandwidthMiBps: 16 };
      const result = await two.a().migrate(vmId, { address, limits, progressEveryMs: 20, stallMs: 1_500 });
      if (result.outcome !== 'failed') throw new Error('it ended');
      expect(result.cause).toMatchObject({ code: 'hypervisor.migration_stalled', detail: { why: 'diverging' } });
      expect(result.cause.message).toMatch(/writes its memory too fast .*MiB were sent/);
      expect(result.running).toBe(true);
      await withGuest(two.a(), vmId, (qga) => qga.ping());
      await two.b().destroy(vmId, { deleteVolumes: false });
    });

    test('between two QEMUs that give memory its place in a file a saved guest goes by that, and one that was written in part is not loaded', async () => {
      const alike = await rig({ alike: true });
      const id = 'vm-mapped';
      try {
        const { cmdline, digest } = await ensureGuestImage({ cacheDir });
        const spec = bootSpec(id, { image: { name: 'linux', version: 1, digest, cmdline }, nics: [], uuid: randomUUID() });
        await alike.a().boot(spec);
        await alike.guestUp(alike.a(), id);
        const bootId = await alike.bootId(alike.a(), id);
        for (const [from, to] of [['a', 'b'], ['b', 'a']] as const) {
          const file = stateFile(id, `mov-${from}`);
          const { topology, topologyHash } = await alike[from]().status(id);
          await alike[to]().prepareTarget({ vmId: id, topology, topologyHash, restores: true });
          const result = await alike[from]().suspend(id, { pool: 'shared', file, maxBandwidthMiBps: 1024, mapped: true, stallMs: 20_000 });
          if (result.outcome === 'failed') throw result.cause;
          const state = { pool: 'shared', file, ...result.saved, mapped: true };
          const short = { ...state, bytes: state.bytes - 1 };
          await expect(alike[to]().restore(id, short)).rejects.toMatchObject({ code: 'hypervisor.save_corrupt' });
          await alike[to]().restore(id, state);
          await alike.lose(to);
          await alike[to]().adopt();
          await alike[to]().restore(id, state);
          await alike[to]().resume(id);
          expect(await alike.bootId(alike[to](), id)).toBe(bootId);
          await alike[from]().dropState('shared', file);
          await alike[from]().destroy(id, { deleteVolumes: false });
        } // prettier-ignore
        await alike.a().destroy(id, { deleteVolumes: true });
        expect(alike.volumes()).toEqual([]);
      } finally {
        await alike.close();
      }
    });

    test('a binary that is not there is named, with how to get it', async () => {
      const dir = mkdtempSync(join(tmpdir(), 'chy-driver-'));
      const driver = new QemuDriver({
        stateDir: dir,
        address: '127.0.0.1',
        pools: {},
        networks: {},
        qemu: '/no/qemu',
        resolveImage: async () => ({ kernel: '', initrd: '' }),
        accelerator: 'tcg',
      });
      await expect(driver.facts()).rejects.toMatchObject({
        code: 'hypervisor.qemu_missing',
        message: expect.stringContaining('apt-get install'),
      });
      rmSync(dir, { recursive: true });
    });
  });
});
