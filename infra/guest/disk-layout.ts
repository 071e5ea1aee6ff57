import { chmod, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './debian.ts';

const SECTOR = 512;
const MiB = 1 << 20;

/** Debian's own numbers for cloud images: the root is 1 and lies last, so that it can grow. */
const partitions = {
  bios: { number: 14, startMiB: 1, sizeMiB: 1 },
  esp: { number: 15, startMiB: 2, sizeMiB: 14 },
  root: { number: 1, startMiB: 16 },
} as const;

const table = (disk: string): string =>
  [
    'label: gpt',
    `${disk}14 : start=${partitions.bios.startMiB}MiB, size=${partitions.bios.sizeMiB}MiB, type=21686148-6449-6E6F-744E-656564454649`,
    `${disk}15 : start=${partitions.esp.startMiB}MiB, size=${partitions.esp.sizeMiB}MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B`,
    `${disk}1 : start=${partitions.root.startMiB}MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709`,
    '',
  ].join('\n');

/**
 * A raw disk that boots on BIOS and UEFI, made without mounting anything and without loop devices. `root` is the tree of the system, with
 * the boot loader's images in boot/loader. `asOwner` runs a command as whoever may read all of the tree.
 */
export const assembleDisk = async (o: {
  disk: string;
  root: string;
  label: string;
  sizeMiB: number;
  work: string;
  asOwner: (command: string, args: readonly string[]) => Promise<unknown>;
}): Promise<void> => {
  await writeFile(o.disk, '');
  await truncate(o.disk, o.sizeMiB * MiB);
  await chmod(o.disk, 0o666); // the owner of the tree may be another user of ours
  const script = join(o.work, 'partitions');
  await writeFile(script, table(o.disk));
  await run('sh', ['-c', 'sfdisk --quiet --no-tell-kernel --no-reread "$1" < "$2"', 'sh', o.disk, script]);
  const rootKiB = (o.sizeMiB - partitions.root.startMiB - 1) * 1024; // the last MiB has the second copy of the table
  const ext4 = ['-q', '-F', '-t', 'ext4', '-L', o.label, '-m', '1', '-d', o.root, '-E', `offset=${partitions.root.startMiB * MiB}`];
  await o.asOwner('mkfs.ext4', [...ext4, o.disk, `${rootKiB}k`]);
  await bootByBios(o.disk, join(o.root, 'boot/loader'));
  await bootByUefi(o.disk, join(o.root, 'boot/loader'));
};

/**
 * What grub-install would do: its first sector loads the first sector of the BIOS boot partition, and that one the rest. Each is told
 * where the next one lies (kernel_sector of boot.S, the block list of diskboot.S). The partition table in the first sector stays.
 */
const bootByBios = async (disk: string, loader: string): Promise<void> => {
  const first = BigInt((partitions.bios.startMiB * MiB) / SECTOR);
  const boot = await readFile(join(loader, 'boot.img'));
  const core = await readFile(join(loader, 'core.img'));
  if (core.length > partitions.bios.sizeMiB * MiB) throw new Error(`the boot loader has ${core.length} bytes, more than its partition`);
  boot.writeBigUInt64LE(first, 0x5c);
  core.writeBigUInt64LE(first + 1n, 0x1f4);
  const file = await open(disk, 'r+');
  try {
    await file.write(boot, 0, 440, 0);
    await file.write(core, 0, core.length, partitions.bios.startMiB * MiB);
  } finally {
    await file.close();
  }
};

/** mtools write into the partition where it lies. */
const bootByUefi = async (disk: string, loader: string): Promise<void> => {
  const { startMiB, sizeMiB } = partitions.esp;
  const image = ['-i', `${disk}@@${startMiB}M`];
  await run('mformat', [...image, '-v', 'ESP', '-T', String((sizeMiB * MiB) / SECTOR), '-h', '16', '-s', '63', '::']);
  await run('mmd', [...image, '::/EFI', '::/EFI/BOOT']);
  await run('mcopy', [...image, join(loader, 'BOOTX64.EFI'), '::/EFI/BOOT/BOOTX64.EFI']);
};

/** A disk in one compressed file that needs no other. */
export const asQcow2 = async (raw: string, to: string): Promise<number> => {
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', '-o', 'compression_type=zstd', raw, to]);
  return (await stat(to)).size;
};
