import { statfs } from 'node:fs/promises';
import type { GuestFacts } from '@chrysalis/contracts';
import { parseList, type Guest } from './guest.ts';

/** Everything the guest shows of itself, read now. */
export const readFacts = async (guest: Guest): Promise<GuestFacts> => {
  const [bootId, uptime, os, online, memory, disks, nics] = await Promise.all([
    guest.read('proc/sys/kernel/random/boot_id'),
    guest.read('proc/uptime'),
    readOs(guest),
    onlineCpus(guest),
    memoryBlocks(guest),
    readDisks(guest),
    readNics(guest),
  ]);
  return {
    bootId: bootId ?? '',
    uptimeSeconds: Number(uptime?.split(' ')[0] ?? 0),
    os,
    vcpus: online.length,
    memoryMiB: memory.onlineMiB,
    disks: disks.slice(0, 64),
    fileSystems: (await fileSystems(guest)).slice(0, 64).map(({ mount, disk, type, bytes }) => ({ mount, disk, type, bytes })),
    nics: nics.slice(0, 64),
  };
};

const readOs = async (guest: Guest): Promise<GuestFacts['os']> => {
  const release = Object.fromEntries(
    ((await guest.read('etc/os-release')) ?? '').split('\n').map((l) => [l.split('=')[0], l.slice(l.indexOf('=') + 1).replaceAll('"', '')]),
  ) as Record<string, string | undefined>;
  const kernel = (await guest.read('proc/sys/kernel/osrelease')) ?? 'unknown';
  return { id: (release['ID'] ?? 'linux').slice(0, 64), version: (release['VERSION_ID'] ?? '').slice(0, 64), kernel: kernel.slice(0, 128) };
};

export const onlineCpus = async (guest: Guest): Promise<number[]> => parseList((await guest.read('sys/devices/system/cpu/online')) ?? '');

export type MemoryBlock = Readonly<{ name: string; online: boolean }>;
/** Memory by blocks, as it is plugged: MemTotal also counts what the kernel keeps for itself. */
export const memoryBlocks = async (guest: Guest): Promise<{ blockMiB: number; onlineMiB: number; blocks: MemoryBlock[] }> => {
  const dir = 'sys/devices/system/memory';
  const size = await guest.read(`${dir}/block_size_bytes`);
  if (size === undefined) {
    const total = /^MemTotal:\s+(\d+)/m.exec((await guest.read('proc/meminfo')) ?? '')?.[1] ?? 0;
    return { blockMiB: 0, onlineMiB: Math.floor(Number(total) / 1024), blocks: [] };
  }
  const names = (await guest.list(dir)).filter((n) => /^memory\d+$/.test(n));
  const blocks = await Promise.all(
    names.map(async (name) => ({ name, online: /^online/.test((await guest.read(`${dir}/${name}/state`)) ?? '') })),
  );
  const blockMiB = Number.parseInt(size, 16) / 1_048_576;
  return { blockMiB, onlineMiB: blocks.filter((b) => b.online).length * blockMiB, blocks };
};

/** Whole disks with a device behind them; the agent's own is left out. */
export const readDisks = async (guest: Guest): Promise<GuestFacts['disks']> => {
  const names = (await guest.list('sys/block')).filter((n) => /^(vd|sd|nvme|xvd)/.test(n));
  const disks = await Promise.all(
    names.map(async (name) => ({
      name: name.slice(0, 64),
      serial: (await diskSerial(guest, name)).slice(0, 64),
      bytes: Number((await guest.read(`sys/block/${name}/size`)) ?? 0) * 512,
    })),
  );
  return disks.filter((d) => guest.packageSerial === undefined || d.serial !== guest.packageSerial);
};

const diskSerial = async (guest: Guest, name: string): Promise<string> =>
  (await guest.read(`sys/block/${name}/serial`)) ?? (await guest.read(`sys/block/${name}/device/serial`)) ?? '';

export type MountedFileSystem = GuestFacts['fileSystems'][number] & { readonly device: string; readonly blockName: string };
const onDisk = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'vfat', 'f2fs']);

/** Data file systems: what is mounted from a disk of the guest. `disk` is the disk's serial number, or its name where it has none. */
export const fileSystems = async (guest: Guest): Promise<MountedFileSystem[]> => {
  const disks = await readDisks(guest);
  const seen = new Set<string>();
  const found: MountedFileSystem[] = [];
  for (const line of ((await guest.read('proc/self/mounts')) ?? '').split('\n')) {
    const [device = '', mountText = '', type = ''] = line.split(' ');
    if (!device.startsWith('/dev/') || !onDisk.has(type) || seen.has(device)) continue;
    const blockName = device.slice(5);
    const disk = disks.find(
      (d) => d.name === blockName || /^p?\d+$/.test(blockName.startsWith(d.name) ? blockName.slice(d.name.length) : 'x'),
    );
    if (!disk) continue;
    seen.add(device);
    const mount = mountText.replaceAll(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const bytes = await statfs(guest.path(mount)).then(
      (s) => s.blocks * s.bsize,
      () => 0,
    );
    found.push({ mount: mount.slice(0, 255), disk: disk.serial || disk.name, type, bytes, device, blockName });
  }
  return found;
};

const readNics = async (guest: Guest): Promise<string[]> => {
  const names = await guest.list('sys/class/net');
  const macs = await Promise.all(
    names.map(async (n) =>
      (await guest.exists(`sys/class/net/${n}/device`)) ? await guest.read(`sys/class/net/${n}/address`) : undefined,
    ),
  );
  return macs.filter((m): m is string => m !== undefined && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(m));
};
