import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  diskSerial,
  volumeFile,
  volumeHostTasks as tasks,
  type OutputOf,
  type TaskContract,
  type TaskDispatch,
} from '@chrysalis/contracts';
import { QemuDriver, QgaClient, sweepStateDir, type BootSpec } from '@chrysalis/hypervisor';
import { onQemu } from '@chrysalis/testing';
import { ensureGuestImage } from '../../../../infra/guest/image.ts';
import type { Handler } from '../execution/handler.ts';
import { QemuGuests } from '../guests/qemu-guests.ts';
import type { HandlerContext } from '../tasks/handler-context.ts';
import { volumeHandlers } from './tasks.ts';

const cacheDir = new URL('../../../../.cache', import.meta.url).pathname;

/** A host with its driver and its way into guests, and what its agent does with volumes. */
class Host {
  readonly driver: QemuDriver;
  readonly guests: QemuGuests;
  readonly #handlers: ReadonlyMap<string, Handler>;

  constructor(
    readonly stateDir: string,
    pool: string,
    image: { kernel: string; initrd: string },
  ) {
    const pools = { shared: { directory: pool, shared: true } };
    this.driver = new QemuDriver({ stateDir, address: '127.0.0.1', pools, networks: {}, resolveImage: async () => ({ ...image }) });
    this.guests = new QemuGuests(this.driver, pools);
    const context = { driver: this.driver, guests: this.guests, now: () => Date.now() } as unknown as HandlerContext;
    this.#handlers = new Map(volumeHandlers(context, async () => undefined).map((h) => [h.contract.kind, h]));
  }

  run<C extends TaskContract>(contract: C, input: Record<string, unknown>, withinMs = 30_000): Promise<OutputOf<C>> {
    const run = { dispatch: {} as TaskDispatch, key: 'k', signal: new AbortController().signal, deadlineAt: Date.now() + withinMs };
    return this.#handlers.get(contract.kind)!.run(contract.input.parse(input) as never, run) as Promise<OutputOf<C>>;
  }

  /** A shell in the guest, over the port that its agent has one client on. */
  async shell(vmId: string, script: string): Promise<string> {
    this.guests.forget(vmId);
    const qga = new QgaClient(await this.driver.openSerialPort(vmId, 'qga'));
    try {
      await qga.sync(90_000);
      return (await qga.shell(script, 30_000)).trim();
    } finally {
      qga.close();
    }
  }
}

onQemu('volumes on real QEMU', () => {
  const dir = mkdtempSync(join(tmpdir(), 'chy-volumes-'));
  const [web, db] = [`vm-${randomUUID()}`, `vm-${randomUUID()}`];
  const on = (vmId: string) => ({ vmId, epoch: 1 });
  const id = `volume-${randomUUID()}`;
  const file = { pool: 'shared', volume: volumeFile(id) };
  const disk = (sizeMiB: number) => ({ id, serial: diskSerial(id), sizeMiB, format: 'qcow2', readOnly: false, ...file });
  /** The device that the guest has of the volume. */
  const found = `d=$(grep -lx '${diskSerial(id)}' /sys/block/vd*/serial) && d=/dev/$(basename $(dirname $d))`;
  let a: Host;
  let b: Host;

  beforeAll(async () => {
    const { kernel, initrd, digest, cmdline } = await ensureGuestImage({ cacheDir });
    [a, b] = ['a', 'b'].map((host) => new Host(join(dir, host), join(dir, 'pool'), { kernel, initrd })) as [Host, Host];
    const spec = (vmId: string): BootSpec => ({
      vmId,
      uuid: randomUUID(),
      pool: 'shared',
      nics: [],
      image: { name: 'linux', version: 1, digest, cmdline },
      spec: { vcpus: { now: 1, max: 1 }, memoryMiB: { now: 256, max: 256 }, disks: [], nics: [], cpuModel: 'Westmere', requiredTraits: [] },
    });
    await Promise.all([a.driver.boot(spec(web)), b.driver.boot(spec(db))]);
    await Promise.all([a.guests.waitUntilUp(web, 120_000), b.guests.waitUntilUp(db, 120_000)]);
  }, 600_000);
  afterAll(async () => {
    for (const host of [a, b]) {
      await host?.driver.close();
      if (host) await sweepStateDir(host.stateDir);
    }
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  test('attached, written, grown, left while it is mounted, detached, attached to another VM: what was written is there', async () => {
    await a.run(tasks.createVolume, { ...file, sizeMiB: 32 });
    expect(await a.run(tasks.attachVolume, { ...on(web), disk: disk(32) })).toMatchObject({ seen: true });
    await expect(b.run(tasks.attachVolume, { ...on(db), disk: disk(32) })).rejects.toMatchObject({ code: 'hypervisor.volume_locked' });
    const uuid = '0199c0de-0000-7000-8000-0000000000d1';
    const format = `/sbin/mke2fs -q -t ext4 -b 4096 -U ${uuid} -E lazy_itable_init=1,hash_seed=${uuid} $d && mkdir -p /mnt && mount $d /mnt`;
    await a.shell(web, `${found} && ${format} && dd if=/dev/urandom of=/mnt/f bs=1M count=8 2>/dev/null && sync`);
    const sum = await a.shell(web, 'sha256sum < /mnt/f');

    // Mounted: it stays, whole, with all that it was.
    const before = await a.driver.topology(web);
    const busy = a.run(tasks.detachVolume, { ...on(web), disk: id, force: false });
    await expect(busy).rejects.toMatchObject({ code: 'host.guest_uses_volume', message: expect.stringContaining('is mounted at /mnt') });
    expect(await a.driver.topology(web)).toEqual(before);
    expect(await a.shell(web, 'echo 3 > /proc/sys/vm/drop_caches; sha256sum < /mnt/f')).toBe(sum);

    expect(await a.run(tasks.growAttachedVolume, { ...on(web), disk: id, sizeMiB: 48 })).toMatchObject({ seen: true });
    expect(await a.shell(web, `${found} && cat /sys/block/$(basename $d)/size`)).toBe(String(48 * 2048));
    await a.shell(web, 'umount /mnt');
    const { topology } = await a.run(tasks.detachVolume, { ...on(web), disk: id, force: false });
    expect(topology.disks).toEqual([]);
    expect(await a.shell(web, `ls /sys/block | grep -c '^vd' || true`)).toBe('0');

    await b.run(tasks.growVolume, { ...file, sizeMiB: 64 }); // and where no VM has it
    expect(await b.run(tasks.attachVolume, { ...on(db), disk: disk(64) })).toMatchObject({ seen: true });
    expect(await b.shell(db, `${found} && mkdir -p /mnt && mount $d /mnt && sha256sum < /mnt/f`)).toBe(sum);
    await expect(a.run(tasks.deleteVolume, file)).rejects.toMatchObject({ code: 'hypervisor.volume_locked' });

    // Its VM goes, with its power: the volume stays, and the next VM finds it.
    await b.driver.destroy(db, { deleteVolumes: true });
    expect(await a.run(tasks.attachVolume, { ...on(web), disk: disk(64) })).toMatchObject({ seen: true });
    expect(await a.shell(web, `${found} && mount $d /mnt && sha256sum < /mnt/f; umount /mnt`)).toBe(sum);
  }, 300_000);

  test('where nobody in the guest answers, it is taken only by force', async () => {
    await a.shell(web, 'kill -STOP $(pidof qemu-ga) & sleep 0').catch(() => undefined); // it does not say that it did
    a.guests.forget(web);
    const there = a.run(tasks.detachVolume, { ...on(web), disk: id, force: false }, 60_000);
    await expect(there).rejects.toMatchObject({ code: 'host.volume_use_unknown' });
    const { topology } = await a.run(tasks.detachVolume, { ...on(web), disk: id, force: true });
    expect(topology.disks).toEqual([]);
  }, 120_000);
});
