import { existsSync } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { isVolumeFile, type Image, type Topology } from '@chrysalis/contracts';
import { hasCode, HypervisorError } from '../errors.ts';
import type { NewVolume, VolumeMade, VolumeSpec } from '../driver.ts';
import type { QmpClient } from '../qmp.ts';
import { locked } from './devices.ts';
import { withToolQemu } from './tool.ts';

/** A pool is a directory. `shared`: the hosts of the fleet see the same directory, so that a VM moves without its disks. */
export type Pool = { readonly directory: string; readonly shared: boolean };
type Disk = Pick<Topology['disks'][number], 'id' | 'pool' | 'volume' | 'format' | 'sizeMiB' | 'readOnly'>;

/**
 * `path` is not there; the disk at it is to be a qcow2 of this size that needs no other file, `compared` with what it was made of: an image of
 * this host's, or a qcow2. What it rejects with goes on as it is.
 */
export type CopyDisk = (
  from: Image | { readonly qcow2: string },
  to: {
    readonly path: string;
    readonly sizeMiB: number;
    readonly signal: AbortSignal | undefined;
    readonly full?: boolean;
    readonly compared?: boolean;
  },
) => Promise<void>;

const MiB = 1024 * 1024;
/** What `stat` counts blocks in. */
const BLOCK = 512;

/** MiB that a guest sees of a qcow2, from its header: bytes 24 to 31. */
const sizeOf = async (path: string): Promise<number> => {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(32), 0, 32, 0);
    if (bytesRead < 32 || buffer.toString('latin1', 0, 4) !== 'QFI\xfb')
      throw new HypervisorError('hypervisor.volume_failed', `${path} is no qcow2`);
    return Number(buffer.readBigUInt64BE(24)) / MiB;
  } finally {
    await file.close();
  }
};

const otherSize = ({ pool, volume, sizeMiB }: Pick<Disk, 'pool' | 'volume' | 'sizeMiB'>, there: number): HypervisorError =>
  new HypervisorError('hypervisor.volume_conflict', `${volume} in pool ${pool} has ${there} MiB, not ${sizeMiB}`, {
    sizeMiB: there,
    requestedMiB: sizeMiB,
  });

export class Volumes {
  private readonly pools: Readonly<Record<string, Pool>>;
  private readonly qemu: string;

  constructor(pools: Readonly<Record<string, Pool>>, qemu: string) {
    this.pools = pools;
    this.qemu = qemu;
  }

  get names(): string[] {
    return Object.keys(this.pools).sort();
  }

  path(pool: string, volume: string): string {
    const found = this.pools[pool];
    if (!found) throw new HypervisorError('hypervisor.pool_unknown', `No storage pool ${pool} on this host`, { pool, pools: this.names });
    // The contract allows dots in a volume's name; it is one name and never a path.
    if (!/^[A-Za-z0-9._-]{1,128}$/.test(volume) || volume === '.' || volume === '..')
      throw new HypervisorError('hypervisor.volume_missing', `${volume} is not the name of a volume`);
    return join(found.directory, volume);
  }

  assertThere(disk: Pick<Disk, 'id' | 'pool' | 'volume'>): void {
    const path = this.path(disk.pool, disk.volume);
    if (!existsSync(path))
      throw new HypervisorError('hypervisor.volume_missing', `No volume ${disk.volume} in pool ${disk.pool} of this host`, {
        disk: disk.id,
      });
  }

  /** There, and of this size: else a VM would get other hardware than is recorded of it. */
  async assertVolume(disk: Disk): Promise<void> {
    this.assertThere(disk);
    const there = await sizeOf(this.path(disk.pool, disk.volume));
    if (there !== disk.sizeMiB) throw otherSize(disk, there);
  }

  /** True when it was made now. A volume that is there keeps its content: a disk that is plugged again has its data. */
  ensure(disk: Disk, full = false): Promise<boolean> {
    return this.ensureBy(disk, (path) => this.make(disk, path, full));
  }

  /** The same, of a disk that begins as an image is. What a host agent that was killed in here had copied goes first: it may be large. */
  async ensureOf(
    image: Image,
    disk: Disk,
    copy: CopyDisk,
    { signal, full = false }: { signal?: AbortSignal | undefined; full?: boolean },
  ): Promise<boolean> {
    await this.sweep(disk);
    return this.ensureBy(disk, (path) => copy(image, { path, sizeMiB: disk.sizeMiB, signal, full }));
  }

  /** The same, of a disk that is a copy of a file. Read-only, so that what is there is what was given, and anew each time. */
  async replace(disk: Disk, file: string): Promise<boolean> {
    await this.delete(disk.pool, disk.volume);
    return this.madeBy(disk, (path) => copyFile(file, path));
  }

  /** What an agent that was killed had begun of it. */
  private async sweep({ pool, volume }: Pick<Disk, 'pool' | 'volume'>): Promise<void> {
    const { dir, base } = parse(this.path(pool, volume));
    const there = await readdir(dir).catch(() => []);
    for (const left of there.filter((name) => name.startsWith(`${base}.new-`))) await rm(join(dir, left), { force: true });
  }

  /** The same, of what is no disk and begins as that file is. What is there is kept. */
  async ensureCopy(to: Pick<Disk, 'pool' | 'volume'>, file: string): Promise<boolean> {
    await this.sweep(to);
    return this.madeBy({ id: 'uefi', ...to }, (path) => copyFile(file, path));
  }

  private async ensureBy(disk: Disk, make: (path: string) => Promise<void>): Promise<boolean> {
    if (isVolumeFile(disk.volume)) {
      await this.assertVolume(disk);
      return false;
    }
    if (existsSync(this.path(disk.pool, disk.volume))) return false;
    if (disk.readOnly) this.assertThere(disk);
    return this.madeBy(disk, make);
  }

  private async madeBy(disk: Pick<Disk, 'id' | 'pool' | 'volume'>, make: (path: string) => Promise<void>): Promise<boolean> {
    const path = this.path(disk.pool, disk.volume);
    if (existsSync(path)) return false;
    await mkdir(this.pools[disk.pool]!.directory, { recursive: true });
    // Made beside and renamed: a volume is never seen half made. The pid keeps two hosts on one shared pool apart.
    const temporary = `${path}.new-${process.pid}`;
    try {
      await make(temporary);
      await sync(temporary); // else its name may be on the disk before it is
      await rename(temporary, path);
      return true;
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error;
      if ('code' in error && error.code === 'ENOSPC') throw poolFull(disk.pool, String(error));
      throw new HypervisorError('hypervisor.volume_failed', `Volume ${disk.volume} could not be made: ${String(error)}`, { disk: disk.id });
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** See HypervisorDriver.createVolume. */
  async create({ pool, volume, format, sizeMiB, allocation, from, signal }: NewVolume, copy?: CopyDisk): Promise<VolumeMade> {
    const path = this.path(pool, volume);
    const disk = { id: volume, pool, volume, format, sizeMiB, readOnly: false };
    const full = allocation === 'full';
    const made = await this.madeBy(disk, async (to) => {
      if (!from) return this.make(disk, to, full);
      if (!copy) throw new HypervisorError('hypervisor.volume_failed', 'This host was given no way to copy disks', { volume });
      const source = from.kind === 'image' ? from.image : { qcow2: this.path(from.pool, from.volume) };
      if (from.kind === 'volume') this.assertThere({ id: from.volume, ...from });
      await copy(source, { path: to, sizeMiB, signal, full, compared: true });
    });
    const there = made ? sizeMiB : await sizeOf(path);
    if (there !== sizeMiB) throw otherSize({ pool, volume, sizeMiB }, there);
    return { shared: this.pools[pool]!.shared, bytes: (await stat(path)).blocks * BLOCK };
  }

  /** Opened for writing on the way, so that QEMU's lock says whether somebody has it. */
  async grow({ pool, volume, sizeMiB }: VolumeSpec): Promise<void> {
    const path = this.path(pool, volume);
    this.assertThere({ id: volume, pool, volume });
    const there = await sizeOf(path);
    if (there > sizeMiB)
      throw new HypervisorError('hypervisor.disk_shrink_refused', `${volume} has ${there} MiB: it does not become ${sizeMiB}`, {
        sizeMiB: there,
        requestedMiB: sizeMiB,
      });
    if (there < sizeMiB)
      await this.opened(path, (qmp) => qmp.execute('block_resize', { 'node-name': 'volume', size: sizeMiB * MiB }, 60_000));
  }

  /** Refused while another process has it open, on whatever host of its pool. */
  async deleteUnused(pool: string, volume: string): Promise<void> {
    const path = this.path(pool, volume);
    if (!existsSync(path)) return;
    await (isVolumeFile(volume) ? this.opened(path, async () => undefined) : this.assertUnlocked(pool, volume));
    await this.delete(pool, volume);
  }

  /** What an earlier move left under the name of what is to come; refused while anybody has it open: then it is somebody's. */
  async discard(pool: string, volume: string): Promise<void> {
    if (existsSync(this.path(pool, volume))) await this.assertUnlocked(pool, volume);
    await this.delete(pool, volume);
  }

  /** Of a file that is no qcow2 (a seed, which is only read, or one that was never whole) nobody's lock is asked for. */
  async assertUnlocked(pool: string, volume: string): Promise<void> {
    await this.opened(this.path(pool, volume), async () => undefined).catch((error: unknown) => {
      if (!hasCode(error, 'hypervisor.qmp_refused') || !/not in qcow2 format/.test(error.message)) throw error;
    });
  }

  private opened(path: string, work: (qmp: QmpClient) => Promise<unknown>): Promise<void> {
    return withToolQemu(this.qemu, 'tcg', async (qmp) => {
      const file = { driver: 'file', filename: path, locking: 'on' };
      await qmp
        .execute('blockdev-add', { driver: 'qcow2', 'node-name': 'volume', file })
        .catch((error: unknown) => Promise.reject(locked(error)));
      await work(qmp);
      await qmp.execute('blockdev-del', { 'node-name': 'volume' });
    });
  }

  async delete(pool: string, volume: string): Promise<void> {
    await rm(this.path(pool, volume), { force: true });
  }

  /** Blank: the guest makes its file systems, with room to grow. */
  private async make(disk: Disk, path: string, full: boolean): Promise<void> {
    const size = disk.sizeMiB * MiB;
    if (disk.format === 'qcow2') return withToolQemu(this.qemu, 'tcg', (qmp) => makeQcow2(qmp, { path, size, full, pool: disk.pool }));
    const file = await open(path, 'w', 0o600);
    await file.truncate(size).finally(() => file.close());
  }
}

const sync = async (path: string): Promise<void> => {
  const file = await open(path, 'r+');
  await file.sync().finally(() => file.close());
};

/** There may be no qemu-img on a host: QEMU itself makes the image. */
type NewQcow2 = { readonly path: string; readonly size: number; readonly full: boolean; readonly pool: string };
/** In full: its blocks are the file's from the beginning on, which takes as long as the file system takes to say so. */
const makeQcow2 = async (qmp: QmpClient, { path, size, full, pool }: NewQcow2): Promise<void> => {
  await job(qmp, 'blockdev-create', { 'job-id': 'file', options: { driver: 'file', filename: path, size: 0 } });
  await qmp.execute('blockdev-add', { driver: 'file', 'node-name': 'file', filename: path });
  const options = { driver: 'qcow2', file: 'file', size, ...(full ? { preallocation: 'falloc' } : {}) };
  await job(qmp, 'blockdev-create', { 'job-id': 'qcow2', options }).catch((error: unknown) => {
    throw /No space left/.test(String(error)) ? poolFull(pool, String(error)) : error;
  });
};

const poolFull = (pool: string, words: string): HypervisorError =>
  new HypervisorError('hypervisor.pool_full', `The storage pool ${pool} is full: ${words}`, { pool });

const job = async (qmp: QmpClient, command: string, args: { 'job-id': string } & Record<string, unknown>): Promise<void> => {
  const id = args['job-id'];
  const concluded = qmp.waitFor('JOB_STATUS_CHANGE', (e) => e.data['id'] === id && e.data['status'] === 'concluded', 60_000);
  try {
    await qmp.execute(command, args);
    await concluded.promise;
  } finally {
    concluded.cancel();
  }
  const jobs = await qmp.execute<{ id: string; error?: string }[]>('query-jobs');
  const error = jobs.find((j) => j.id === id)?.error;
  await qmp.execute('job-dismiss', { id });
  if (error) throw new HypervisorError('hypervisor.volume_failed', `${command}: ${error}`);
};
