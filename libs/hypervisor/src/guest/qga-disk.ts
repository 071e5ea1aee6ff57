import { wholeDisks } from './qga-characterise.ts';
import type { QgaClient } from './qga.ts';

/** A disk as its guest has it. `uses`: by what it is in use, in words: a mount, swap, a device on top of it. */
export type GuestDisk =
  { readonly there: false } | { readonly there: true; readonly name: string; readonly bytes: number; readonly uses: readonly string[] };

/** So many uses are said; one is enough to leave the disk where it is. */
const MOST_USES = 16;

/** Whether the guest shows a disk of this serial number, and what it does with it. Throws a QgaError where nobody answers. */
export const qgaDisk = async (qga: QgaClient, serial: string): Promise<GuestDisk> => {
  const found = (await wholeDisks(qga)).find((d) => d.serial === serial);
  if (!found) return { there: false };
  const { name, bytes } = found;
  const uses = [...(await mounts(qga, name)), ...(await swaps(qga, name)), ...(await holders(qga, name))];
  return { there: true, name, bytes, uses: uses.slice(0, MOST_USES) };
};

/** The disk, or a partition of it. */
const isOf = (name: string, device: string): boolean => new RegExp(`^/dev/${name}(p?[0-9]+)?$`).test(device);
const words = (line: string): string[] => line.split(/\s+/);

const mounts = async (qga: QgaClient, name: string): Promise<string[]> =>
  (await qga.readFile('/proc/mounts'))
    .split('\n')
    .map(words)
    .filter(([device = '']) => isOf(name, device))
    .map(([device, at]) => `${device} is mounted at ${at}`);

const swaps = async (qga: QgaClient, name: string): Promise<string[]> =>
  (await qga.readFile('/proc/swaps').catch(() => ''))
    .split('\n')
    .map(words)
    .filter(([device = '']) => isOf(name, device))
    .map(([device]) => `${device} is swap`);

/** LVM, RAID and the like. Only where the guest's agent may run programs: a directory it does not list by itself. */
const holders = async (qga: QgaClient, name: string): Promise<string[]> => {
  if (!(await qga.offers('guest-exec'))) return [];
  const listed = await qga
    .shell(`ls -d /sys/block/${name}/holders/* /sys/block/${name}/${name}*/holders/* 2>/dev/null; true`)
    .catch(() => '');
  return listed
    .split('\n')
    .filter(Boolean)
    .map((path) => `${path.slice(path.lastIndexOf('/') + 1)} is on top of it`);
};
