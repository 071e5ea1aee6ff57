import { open, statfs } from 'node:fs/promises';
import { GuestError } from '@chrysalis/contracts';
import { fileSystems, readDisks, type MountedFileSystem } from '../guest/facts.ts';
import { poll, type Guest } from '../guest/guest.ts';

export type ResizeTool = (device: string) => Promise<{ ok: boolean; output: string }>;

/** Grows the ext file system of a disk (named by serial number or device name) to the disk, while mounted. */
export const growFileSystem = async (
  guest: Guest,
  disk: string,
  resize: ResizeTool,
): Promise<{ beforeBytes: number; afterBytes: number }> => {
  const target = (await readDisks(guest)).find((d) => d.serial === disk || d.name === disk);
  if (!target) throw new GuestError('guest.disk_unknown', `no disk ${disk}`, { disks: await readDisks(guest) });
  const mounted = (await fileSystems(guest)).filter((f) => f.disk === (target.serial || target.name));
  const fs = mounted.find((f) => f.blockName === target.name && /^ext[234]$/.test(f.type));
  if (!fs) throw new GuestError('guest.filesystem_unsupported', `no ext file system fills disk ${disk}`, { mounted });

  // The capacity change is an interrupt that may still be on its way: look again for a moment before saying there is nothing to do.
  await poll(async () => ((await isFull(guest, target.name, fs)) ? undefined : true), { deadlineMs: 300, everyMs: 5 });
  const beforeBytes = await bytesOf(guest, fs);
  if (await isFull(guest, target.name, fs)) return { beforeBytes, afterBytes: beforeBytes };
  const { ok, output } = await resize(guest.path(fs.device));
  const afterBytes = await bytesOf(guest, fs);
  if (!ok || !(await isFull(guest, target.name, fs)))
    throw new GuestError('guest.filesystem_not_grown', output.trim().slice(-512) || 'resize2fs failed', { beforeBytes, afterBytes });
  return { beforeBytes, afterBytes };
};

const bytesOf = async (guest: Guest, fs: MountedFileSystem): Promise<number> => {
  const s = await statfs(guest.path(fs.mount));
  return s.blocks * s.bsize;
};

/** By the superblock: statfs leaves out what the file system uses for itself. A group too small to hold its own tables may stay unused. */
const isFull = async (guest: Guest, disk: string, fs: MountedFileSystem): Promise<boolean> => {
  const diskBytes = Number((await guest.read(`sys/block/${disk}/size`)) ?? 0) * 512;
  const device = await open(guest.path(fs.device), 'r');
  try {
    const { buffer } = await device.read(Buffer.alloc(1024), 0, 1024, 1024);
    const blocks = buffer.readUInt32LE(4) + (buffer.readUInt32LE(0x60) & 0x80 ? buffer.readUInt32LE(0x150) * 2 ** 32 : 0);
    const blockSize = 1024 << buffer.readUInt32LE(24);
    return diskBytes - blocks * blockSize < blockSize * 2048;
  } finally {
    await device.close();
  }
};
