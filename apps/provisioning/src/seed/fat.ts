const SECTOR = 512;
const SECTORS = 2048;
const FATS = 2;
const FAT_SECTORS = 6;
const ROOT_ENTRIES = 64;
const ENTRY = 32;
const FAT_AT = SECTOR;
const ROOT_AT = FAT_AT + FATS * FAT_SECTORS * SECTOR;
const DATA_AT = ROOT_AT + ROOT_ENTRIES * ENTRY;
const END_OF_FILE = 0xfff;
/** 1 January 2000: what is in a disk depends on what was put in, and not on when. */
const DATE = ((2000 - 1980) << 9) | (1 << 5) | 1;

type FatFile = { readonly name: string; readonly content: Buffer };
const FAT_DISK_MIB = (SECTORS * SECTOR) / 1_048_576;

/**
 * A disk of 1 MiB without partitions, with one FAT12 file system of this label and these files in its root, clusters of a sector. Names are
 * ASCII, up to 255 characters. Throws where the files find no room. Source: Microsoft's "FAT32 File System Specification" 1.03.
 */
export const fatDisk = (label: string, files: readonly FatFile[]): Buffer => {
  const disk = Buffer.alloc(SECTORS * SECTOR);
  bootSector(label).copy(disk);
  const next = new Map<number, number>();
  const entries = [entry(label.padEnd(11), { attributes: 0x08 })];
  let cluster = 2;
  for (const [i, { name, content }] of files.entries()) {
    const short = `F${String(i).padStart(7, '0')}   `;
    entries.push(...longName(name, short), entry(short, { cluster: content.length > 0 ? cluster : 0, size: content.length }));
    const clusters = Math.ceil(content.length / SECTOR);
    if (DATA_AT + (cluster - 2 + clusters) * SECTOR > disk.length) throw new RangeError(`${name} finds no room in ${FAT_DISK_MIB} MiB`);
    content.copy(disk, DATA_AT + (cluster - 2) * SECTOR);
    for (let n = 0; n < clusters; n++) next.set(cluster + n, n === clusters - 1 ? END_OF_FILE : cluster + n + 1);
    cluster += clusters;
  }
  if (entries.length > ROOT_ENTRIES) throw new RangeError(`${files.length} files find no room in a root of ${ROOT_ENTRIES} entries`);
  Buffer.concat(entries).copy(disk, ROOT_AT);
  const table = allocation(next);
  for (let copy = 0; copy < FATS; copy++) table.copy(disk, FAT_AT + copy * FAT_SECTORS * SECTOR);
  return disk;
};

const bootSector = (label: string): Buffer => {
  const b = Buffer.alloc(SECTOR);
  Buffer.from([0xeb, 0x3c, 0x90]).copy(b); // a jump, by which readers know such a sector
  b.write('CHRYSALS', 3, 'latin1');
  b.writeUInt16LE(SECTOR, 11);
  b.writeUInt8(1, 13); // sectors a cluster
  b.writeUInt16LE(1, 14); // reserved: this one
  b.writeUInt8(FATS, 16);
  b.writeUInt16LE(ROOT_ENTRIES, 17);
  b.writeUInt16LE(SECTORS, 19);
  b.writeUInt8(0xf8, 21);
  b.writeUInt16LE(FAT_SECTORS, 22);
  b.writeUInt16LE(32, 24);
  b.writeUInt16LE(2, 26);
  b.writeUInt8(0x80, 36);
  b.writeUInt8(0x29, 38); // a serial number, label and type follow
  b.writeUInt32LE(0x0c1da7a0, 39);
  b.write(label.padEnd(11), 43, 'latin1');
  b.write('FAT12   ', 54, 'latin1');
  b.writeUInt16LE(0xaa55, 510);
  return b;
};

const entry = (
  short: string,
  { attributes = 0x21, cluster = 0, size = 0 }: { attributes?: number; cluster?: number; size?: number },
): Buffer => {
  const b = Buffer.alloc(ENTRY);
  b.write(short, 0, 'latin1');
  b.writeUInt8(attributes, 11);
  for (const at of [16, 18, 24]) b.writeUInt16LE(DATE, at);
  b.writeUInt16LE(cluster, 26);
  b.writeUInt32LE(size, 28);
  return b;
};

/** The entries before a file's own that hold its real name, 13 characters each, the last part first. */
const longName = (name: string, short: string): Buffer[] => {
  const sum = [...Buffer.from(short, 'latin1')].reduce((s, byte) => (((s & 1) << 7) + (s >> 1) + byte) & 0xff, 0);
  const parts = name.match(/.{1,13}/g) ?? [];
  return parts.map((part, i) => longEntry(part, i + 1, i + 1 === parts.length, sum)).reverse();
};

const places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const longEntry = (part: string, order: number, last: boolean, sum: number): Buffer => {
  const b = Buffer.alloc(ENTRY);
  b.writeUInt8(order | (last ? 0x40 : 0), 0);
  b.writeUInt8(0x0f, 11);
  b.writeUInt8(sum, 13);
  for (const [i, at] of places.entries()) b.writeUInt16LE(i < part.length ? part.charCodeAt(i) : i === part.length ? 0 : 0xffff, at);
  return b;
};

/** Twelve bits a cluster, two of them in three bytes. */
const allocation = (next: ReadonlyMap<number, number>): Buffer => {
  const table = Buffer.alloc(FAT_SECTORS * SECTOR);
  for (const [cluster, value] of [[0, 0xff8] as const, [1, END_OF_FILE] as const, ...next]) {
    const at = cluster + (cluster >> 1);
    const both = table.readUInt16LE(at);
    table.writeUInt16LE(cluster & 1 ? (both & 0x000f) | (value << 4) : (both & 0xf000) | value, at);
  }
  return table;
};
