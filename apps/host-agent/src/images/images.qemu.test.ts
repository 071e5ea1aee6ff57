import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { guestTasks, hostTasks, type GuestFacts, type OutputOf } from '@chrysalis/contracts';
import { sweepStateDir } from '@chrysalis/hypervisor';
import { depotName } from '@chrysalis/service-kit/images';
import { onQemu, until } from '@chrysalis/testing';
import { createQcow2, sealed } from '@chrysalis/testing/qcow2';
import { ensureGuestImage } from '../../../../infra/guest/image.ts';
import { createFabric, type Fabric } from '../../../../infra/network/fabric.ts';
import { bootDisk } from '../../../../libs/hypervisor/src/test/boot-disk.ts';
import { digestOf } from './store.ts';
import { Fleet } from '../test/fleet.ts';

const cacheDir = new URL('../../../../.cache', import.meta.url).pathname;

const headOf = (file: string): string => {
  const head = Buffer.alloc(4);
  const open = openSync(file, 'r');
  readSync(open, head, 0, 4, 0);
  closeSync(open);
  return head.toString('latin1');
};

const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 256, max: 512 },
  disks: [{ id: 'data', sizeMiB: 16 }],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};

const suite = (): void => {
  let fabric: Fabric;
  let fleet: Fleet;
  let image: { name: string; version: number; digest: string; cmdline: string };
  const vmId = `vm-${randomUUID()}`;
  const imageFile = (hostId: string, name: string): string => join(fleet.dir, hostId, 'images', `${name}.img`);
  const info = (file: string): Record<string, unknown> =>
    JSON.parse(execFileSync('qemu-img', ['info', '--output=json', file], { encoding: 'utf8' })) as Record<string, unknown>;
  const volume = (name: string, format: string) => ({ kind: 'volume', pool: 'shared', volume: name, format });

  beforeAll(async () => {
    const guest = await ensureGuestImage({ cacheDir });
    const hosts = [{ name: 'h1' }, { name: 'h2' }];
    fabric = await createFabric({ id: `im${process.pid % 10_000}`, hosts, stateDir: join(cacheDir, 'fabrics') });
    fleet = await Fleet.open(`${fabric.controlAddress}:0`);
    const store = join(fleet.dir, 'kernels', 'linux');
    mkdirSync(store, { recursive: true });
    for (const file of ['kernel', 'initrd'] as const) symlinkSync(guest[file], join(store, file));
    const files = { kernel: 'kernel', initrd: 'initrd' };
    writeFileSync(join(store, 'manifest.json'), JSON.stringify({ digest: guest.digest, files }));
    image = { name: 'linux', version: 1, digest: guest.digest, cmdline: guest.cmdline };
    for (const { name: hostId, address, bridge, inside } of fabric.hosts) {
      const imageStore = join(fleet.dir, 'kernels');
      await fleet.host({ hostId, driver: 'qemu', address, networks: { lan: bridge }, imageStore, inside });
    }
  });
  afterAll(async () => {
    const dir = fleet?.dir;
    await fleet?.stop(() => Promise.all(['h1', 'h2'].map((h) => sweepStateDir(join(dir!, h, 'qemu')))));
    await fabric?.teardown();
  });

  test('an image is made of a volume with qemu-img, grown, fetched by the other host, and is the same bit by bit', async () => {
    writeFileSync(join(fleet.dir, 'pool', 'seed'), Buffer.alloc(5_000_000, 'chrysalis '));
    const input = { image: 'base', format: 'qcow2', sizeMiB: 64, from: volume('seed', 'raw') };
    const built = await fleet.must(hostTasks.buildImage, 'h1', input);
    expect(info(imageFile('h1', 'base'))).toMatchObject({ format: 'qcow2', 'virtual-size': 64 * 1_048_576 });
    const fetched = await fleet.must(hostTasks.transferImage, 'h2', { image: 'base', digest: built['digest'], fromHost: 'h1' });
    expect(fetched).toEqual({ ...built, hostId: 'h2' });
    execFileSync('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', join(fleet.dir, 'pool', 'seed'), imageFile('h2', 'base')]);
    const blank = await fleet.must(hostTasks.buildImage, 'h2', { image: 'blank', format: 'qcow2', sizeMiB: 16 });
    expect(blank).toMatchObject({ sizeMiB: 16, format: 'qcow2' });
    const raw = { image: 'flat', format: 'raw', sizeMiB: 64, from: { kind: 'image', image: 'base' } };
    expect(await fleet.must(hostTasks.buildImage, 'h2', raw)).toMatchObject({ bytes: 64 * 1_048_576 });
  });

  test('a source that refers to other files, is sealed or too large is not read, nor one with a format that it has not, nor a disk that a VM writes', async () => {
    const pool = join(fleet.dir, 'pool');
    createQcow2(join(pool, 'trap'), '1M', ['-b', '/etc/passwd', '-F', 'raw']);
    createQcow2(join(pool, 'outside'), '1M', ['-o', `data_file=${join(pool, 'seed')}`]);
    createQcow2(join(pool, 'sealed'), '1M', sealed);
    createQcow2(join(pool, 'large'), '1T');
    const from = (name: string, format: string) => ({ image: 'bad', format: 'raw', sizeMiB: 64, from: volume(name, format) });
    const refused = async (name: string, format: string): Promise<unknown> => {
      const outcome = await fleet.run(hostTasks.buildImage, 'h1', from(name, format));
      return outcome.ok || outcome.cause.code;
    };
    for (const name of ['trap', 'outside', 'sealed']) expect(await refused(name, 'qcow2')).toBe('host.image_unsafe');
    expect(await refused('large', 'qcow2')).toBe('host.image_too_small');
    expect(await refused('seed', 'qcow2')).toBe('host.image_failed');
    expect(await refused('nothing', 'raw')).toBe('host.image_failed');
    const boot = { vmId, epoch: 1, uuid: randomUUID(), tenant: 'acme', spec, image, nics: [], pool: 'shared', waitForGuest: false };
    const { topology } = await fleet.must(hostTasks.bootVm, 'h1', boot);
    const [disk] = topology.disks;
    expect(await refused(disk!.volume, disk!.format)).toBe('host.volume_busy');
    await fleet.must(hostTasks.destroyVm, 'h1', { vmId, epoch: 1, deleteVolumes: true });
    expect(existsSync(imageFile('h1', 'bad'))).toBe(false);
  });

  test('an image that is a disk is fetched from the gateway once, looked at, and VMs boot from copies of it', async () => {
    const [raw, made, depot] = [join(fleet.dir, 'boot.raw'), join(fleet.dir, 'boot.qcow2'), join(fleet.dir, 'depot')];
    writeFileSync(raw, bootDisk());
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', raw, made]);
    mkdirSync(depot, { recursive: true });
    const inDepot = async (file: string) => {
      const digest = await digestOf(file);
      copyFileSync(file, join(depot, depotName(digest, 'qcow2')));
      return { name: 'counts', version: 1, digest, cmdline: '', disk: { format: 'qcow2', sizeMiB: 1 } };
    };
    const disk = await inDepot(made);
    const boot = (of: unknown) => ({
      ...{ vmId: `vm-${randomUUID()}`, epoch: 1, uuid: randomUUID(), tenant: 'acme', spec, nics: [], pool: 'shared', waitForGuest: false },
      image: of,
    });
    const volumes = readdirSync(join(fleet.dir, 'pool'));
    const fails = async (of: unknown): Promise<unknown> => {
      const outcome = await fleet.run(hostTasks.bootVm, 'h1', boot(of));
      return outcome.ok || outcome.cause.code;
    };
    expect(await fails({ ...disk, disk: { ...disk.disk, sizeMiB: 2 } })).toBe('host.image_failed');
    expect(await fails({ ...disk, digest: `sha256:${'0'.repeat(64)}` })).toBe('host.image_missing');
    const broken = join(fleet.dir, 'broken.qcow2');
    copyFileSync(made, broken);
    const bytes = readFileSync(broken);
    writeFileSync(broken, bytes.fill(0, Number(bytes.readBigUInt64BE(48)), Number(bytes.readBigUInt64BE(48)) + 8)); // its refcounts are gone
    expect(await fails(await inDepot(broken))).toBe('host.image_failed');
    expect(readdirSync(join(fleet.dir, 'pool'))).toEqual(volumes);

    const vms = [boot(disk), boot(disk)];
    const [first] = await Promise.all(vms.map((vm) => fleet.must(hostTasks.bootVm, 'h1', vm)));
    expect(first!.topology.disks).toMatchObject([{ id: 'root', port: 0, sizeMiB: 1 }, { id: 'data' }]);
    expect(readdirSync(join(fleet.dir, 'h1', 'images')).filter((f) => f.startsWith('i') && f.endsWith('.img'))).toHaveLength(1);
    rmSync(depot, { recursive: true });
    vms.push(boot(disk));
    await fleet.must(hostTasks.bootVm, 'h1', vms[2]!); // what a host has it asks nobody for
    // The loader counts its boots on the disk that it booted from.
    const counted = (vm: string): number => {
      execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', join(fleet.dir, 'pool', `${vm}.root.qcow2`), raw]);
      return readFileSync(raw)[512]!;
    };
    for (const { vmId: vm } of vms) await until(async () => counted(vm) === 1);
    // It is started and reset, whether anybody in it has an agent or not.
    const on = { vmId: vms[0]!.vmId, epoch: 1 };
    expect(await fleet.must(hostTasks.stopVm, 'h1', { ...on, modes: ['power-off'], timeoutMs: 1_000 })).toMatchObject({ how: 'power-off' });
    expect(await fleet.must(hostTasks.startVm, 'h1', on)).toMatchObject({ topology: first!.topology });
    await until(async () => counted(on.vmId) === 2);
    expect(await fleet.must(hostTasks.resetVm, 'h1', on)).toMatchObject({ how: 'reset' });
    await until(async () => counted(on.vmId) === 3);
    for (const { vmId: vm } of vms) await fleet.must(hostTasks.destroyVm, 'h1', { vmId: vm, epoch: 1, deleteVolumes: true });
    expect(readdirSync(join(fleet.dir, 'pool'))).toEqual(volumes);
  });

  test('a running VM is saved and runs on, the same guest; a copy on another host has its digest', async () => {
    const vm = `vm-${randomUUID()}`;
    const on = { vmId: vm, epoch: 1 };
    const boot = { ...on, uuid: randomUUID(), tenant: 'acme', spec, image, nics: [], pool: 'shared', waitForGuest: true };
    const { topologyHash } = await fleet.must(hostTasks.bootVm, 'h1', boot);
    await fleet.grant([vm], []);
    const facts = async (): Promise<GuestFacts> => (await fleet.must(guestTasks.facts, 'h1', on)).facts;
    const before = await facts();

    const asked = { ...on, name: 'kept' };
    const task = await fleet.begin(hostTasks.saveVm, 'h1', asked);
    const outcome = await fleet.reported(task);
    if (!outcome.ok) throw new Error(JSON.stringify(outcome.cause));
    const saved = outcome.output as OutputOf<typeof hostTasks.saveVm>;
    expect(saved).toMatchObject({ hostId: 'h1', image: 'kept', format: 'vm-state', vmId: vm, topologyHash, sizeMiB: 256 });
    expect(saved.pausedMs).toBeLessThan(5_000);
    const file = imageFile('h1', 'kept');
    expect(saved).toMatchObject({ bytes: statSync(file).size, digest: await digestOf(file) });
    expect(headOf(file)).toBe('QEVM');
    process.stdout.write(`saved ${saved.bytes} bytes; the guest stood still for ${saved.pausedMs.toFixed(1)} ms\n`);

    const after = await facts();
    expect(after.bootId).toBe(before.bootId);
    expect(after.uptimeSeconds).toBeGreaterThan(before.uptimeSeconds);
    expect(await fleet.run(hostTasks.saveVm, 'h1', asked)).toMatchObject({ ok: false, cause: { code: 'host.image_conflict' } });

    const copy = { image: 'kept', digest: saved.digest, fromHost: 'h1', elsewhere: true };
    const here = await fleet.run(hostTasks.transferImage, 'h1', copy);
    expect(here).toMatchObject({ ok: false, cause: { code: 'host.image_not_elsewhere', retriable: true } });
    expect(await fleet.must(hostTasks.transferImage, 'h2', copy)).toMatchObject({ hostId: 'h2', format: 'vm-state', bytes: saved.bytes });
    expect(await digestOf(imageFile('h2', 'kept'))).toBe(saved.digest);
    const disk = { image: 'disk', format: 'raw', sizeMiB: 256, from: { kind: 'image', image: 'kept' } };
    expect(await fleet.run(hostTasks.buildImage, 'h2', disk)).toMatchObject({ ok: false, cause: { code: 'host.format_unsupported' } });

    // Killed in the middle: the guest runs on, by itself or by the next agent, and the task is done then.
    const record = join(fleet.dir, 'h1', 'qemu', 'vms', vm, 'vm.json');
    const again = await fleet.begin(hostTasks.saveVm, 'h1', { ...on, name: 'killed' });
    await until(async () => readFileSync(record, 'utf8').includes('"saving":true'));
    await fleet.kill('h1');
    await fleet.start('h1');
    expect(await fleet.reported(again)).toMatchObject({ ok: true, output: { image: 'killed', vmId: vm } });
    expect((await facts()).bootId).toBe(before.bootId);
    expect(readFileSync(record, 'utf8')).toContain('"saving":false');
    const left = readdirSync(join(fleet.dir, 'h1', 'images')).filter((f) => f.includes('killed'));
    expect(left.sort()).toEqual(['killed.img', 'killed.json']);

    await fleet.must(hostTasks.destroyVm, 'h1', { ...on, deleteVolumes: true });
  });
};

onQemu('disk images of two hosts on real QEMU, in network namespaces of their own', suite, ['qemu-system-x86_64', 'qemu-img']);
