const programHeader = { offset: 8, fileSize: 32, entry: 56 };

/**
 * Drops what follows the last byte a program header names: section headers, symbols, debug information. What runs is the same;
 * the machine needs no `strip`, and equal input gives equal bytes. 64-bit little-endian ELF.
 */
export const withoutSections = (elf: Buffer): Buffer => {
  if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) throw new Error('not a 64-bit little-endian ELF file');
  const table = Number(elf.readBigUInt64LE(32));
  const count = elf.readUInt16LE(56);
  let end = table + count * programHeader.entry;
  for (let i = 0; i < count; i++) {
    const at = table + i * programHeader.entry;
    end = Math.max(end, Number(elf.readBigUInt64LE(at + programHeader.offset) + elf.readBigUInt64LE(at + programHeader.fileSize)));
  }
  const out = Buffer.from(elf.subarray(0, end));
  out.writeBigUInt64LE(0n, 40); // e_shoff
  out.writeUInt16LE(0, 60); // e_shnum
  out.writeUInt16LE(0, 62); // e_shstrndx
  return out;
};
