/** As much of a file's beginning as is looked at: to behind the mark of an ISO 9660, in its sector 16. */
export const RAW_HEAD_BYTES = 32_774;
/** The least that a disk is made of. */
const SECTOR = 512;

/** How files begin that people have beside raw disks. No loader, partition table or file system begins so. */
const marks: readonly (readonly [what: string, at: number, mark: string])[] = [
  ['a qcow2, so say --format qcow2', 0, 'QFI\xfb'],
  ['a VMDK', 0, 'KDMV'],
  ['a VMDK', 0, 'COWD'],
  ['the description of a VMDK', 0, '# Disk DescriptorFile'],
  ['a VDI', 64, '\x7f\x10\xda\xbe'],
  ['a VHDX', 0, 'vhdxfile'],
  ['a VHD', 0, 'conectix'],
  ['a QED', 0, 'QED\0'],
  ['a parallels disk', 0, 'WithoutFreeSpace'],
  ['a parallels disk', 0, 'WithouFreSpacExt'],
  ['packed by gzip', 0, '\x1f\x8b\x08'],
  ['packed by xz', 0, '\xfd7zXZ\0'],
  ['packed by zstd', 0, '\x28\xb5\x2f\xfd'],
  ['packed by bzip2', 4, '1AY&SY'],
  ['packed by lz4', 0, '\x04\x22\x4d\x18'],
  ['a zip', 0, 'PK\x03\x04'],
  ['a 7z', 0, '7z\xbc\xaf\x27\x1c'],
];

/**
 * What a file is that is called raw and begins as something else: a guest would see its bytes as they are, and boot from none of them.
 * Undefined: it may be a raw disk, which nothing has to say of itself. An ISO that has a boot sector too boots as a disk, and is one.
 */
export const otherThanRaw = (head: Uint8Array, fileBytes: number): string | undefined => {
  if (fileBytes < SECTOR) return `of ${fileBytes} bytes, and the first sector of a disk alone has ${SECTOR}`;
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  const found = marks.find(([, at, mark]) => text.startsWith(mark, at));
  if (found) return found[0];
  return text.startsWith('CD001', 32_769) && !text.startsWith('\x55\xaa', 510) ? 'an ISO 9660 that boots from a CD only' : undefined;
};
