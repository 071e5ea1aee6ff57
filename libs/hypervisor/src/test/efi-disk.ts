const SECTOR = 512;
const SECTORS = 2048;
/** Where each part of the FAT12 begins, in sectors: two tables behind the first sector, the root, and the clusters of one sector, from 2 on. */
const [FAT_SECTORS, ROOT_AT] = [6, 13];
const DATA_AT = ROOT_AT + 4;
const END_OF_FILE = 0xfff;

/** Where things are in the program, which is loaded as it lies: its code at first, what it reads and writes behind. */
const CODE_AT = 0x1000;
const DATA_OFFSET = 0x200;
const parts = { name: 0, guid: 0x20, size: 0x30, count: 0x38, text: 0x40 };

/** `lea`, `mov`, `inc` with an address that counts from the end of the instruction, of `tail` bytes more. */
const near =
  (opcode: string, part: keyof typeof parts, tail = '') =>
  (at: number): Buffer => {
    const head = Buffer.from(opcode, 'hex');
    const end = at + head.length + 4 + tail.length / 2;
    const distance = Buffer.alloc(4);
    distance.writeInt32LE(DATA_OFFSET + parts[part] - end);
    return Buffer.concat([head, distance, Buffer.from(tail, 'hex')]);
  };
const plain = (bytes: string) => (): Buffer => Buffer.from(bytes, 'hex');

/**
 * Counts in a variable of the firmware, `Boots`, and writes `boot <n>` to the serial port; nine boots at most. UEFI Specification 2.10: tables
 * in 4.3, services in 7.4 and 8.2; the calling convention is Microsoft's.
 */
const program = [
  plain('534883ec40'), // push rbx; sub rsp,0x40
  plain('488b5a58488b4260'), // mov rbx,[rdx+0x58] (RuntimeServices); mov rax,[rdx+0x60] (BootServices)
  plain('31c931d24531c04531c9ff9000010000'), // SetWatchdogTimer(0,0,0,0): who waits here for long is not reset
  near('488d0d', 'name'), // lea rcx,[name]
  near('488d15', 'guid'), // lea rdx,[guid]
  plain('4531c0'), // xor r8d,r8d
  near('4c8d0d', 'size'), // lea r9,[size]
  near('488d05', 'count'), // lea rax,[count]
  plain('4889442420ff5348'), // mov [rsp+0x20],rax; call [rbx+0x48]: GetVariable, which leaves a count of 0 where there is none
  near('fe05', 'count'), // inc byte [count]
  near('488d0d', 'name'),
  near('488d15', 'guid'),
  plain('41b80700000041b901000000'), // mov r8d,7 (kept, and for all times); mov r9d,1
  near('488d05', 'count'),
  plain('4889442420ff5358'), // mov [rsp+0x20],rax; call [rbx+0x58]: SetVariable
  plain('66baf803'), // mov dx,0x3f8
  near('488d35', 'text'), // lea rsi,[text]
  plain('ac84c07403eeebf8'), // next: lodsb; test al,al; jz digit; out dx,al; jmp next
  near('8a05', 'count'), // digit: mov al,[count]
  plain('0430eeb00aee'), // add al,'0'; out dx,al; mov al,10; out dx,al
  plain('f4ebfd'), // rest: hlt; jmp rest
];

const code = (): Buffer => program.reduce<Buffer>((all, part) => Buffer.concat([all, part(all.length)]), Buffer.alloc(0));

/** A PE32+ of one section, by Microsoft's "PE Format". */
const application = (): Buffer => {
  const [headers, section] = [SECTOR, 2 * SECTOR];
  const b = Buffer.alloc(headers + section);
  b.write('MZ', 0, 'latin1');
  b.writeUInt32LE(0x40, 0x3c);
  b.write('PE\0\0', 0x40, 'latin1');
  b.writeUInt16LE(0x8664, 0x44);
  b.writeUInt16LE(1, 0x46); // sections
  b.writeUInt16LE(0xf0, 0x54); // bytes of the optional header
  b.writeUInt16LE(0x0022, 0x56); // executable, large addresses
  const o = 0x58;
  b.writeUInt16LE(0x20b, o);
  b.writeUInt32LE(section, o + 4);
  b.writeUInt32LE(CODE_AT, o + 16);
  b.writeUInt32LE(CODE_AT, o + 20);
  b.writeUInt32LE(0x1000, o + 32); // alignment in memory
  b.writeUInt32LE(SECTOR, o + 36); // and in the file
  b.writeUInt32LE(CODE_AT + 0x1000, o + 56); // bytes of it in memory
  b.writeUInt32LE(headers, o + 60);
  b.writeUInt16LE(10, o + 68); // an EFI application
  b.writeUInt32LE(16, o + 108); // directories, all of them empty: it refers to nothing by its address, so nothing is relocated
  const s = 0x58 + 0xf0;
  b.write('.text', s, 'latin1');
  b.writeUInt32LE(section, s + 8);
  b.writeUInt32LE(CODE_AT, s + 12);
  b.writeUInt32LE(section, s + 16);
  b.writeUInt32LE(headers, s + 20);
  b.writeUInt32LE(0xe0000060, s + 36); // code and data; read, written, run
  code().copy(b, headers);
  const data = headers + DATA_OFFSET;
  b.write('Boots\0', data + parts.name, 'utf16le');
  b.write('5f0c3a863a4b4d7e9a436b8a5f0d6a01', data + parts.guid, 'hex');
  b.writeBigUInt64LE(1n, data + parts.size);
  b.write('\nboot \0', data + parts.text, 'latin1');
  return b;
};

const entry = (name: string, attributes: number, cluster: number, size = 0): Buffer => {
  const b = Buffer.alloc(32);
  b.write(name.padEnd(11), 'latin1');
  b.writeUInt8(attributes, 11);
  b.writeUInt16LE(0x2821, 24); // 1 January 2000
  b.writeUInt16LE(cluster, 26);
  b.writeUInt32LE(size, 28);
  return b;
};

const bootSector = (): Buffer => {
  const b = Buffer.alloc(SECTOR);
  Buffer.from([0xeb, 0x3c, 0x90]).copy(b);
  b.write('CHRYSALS', 3, 'latin1');
  b.writeUInt16LE(SECTOR, 11);
  b.writeUInt8(1, 13);
  b.writeUInt16LE(1, 14);
  b.writeUInt8(2, 16);
  b.writeUInt16LE(64, 17);
  b.writeUInt16LE(SECTORS, 19);
  b.writeUInt8(0xf8, 21);
  b.writeUInt16LE(FAT_SECTORS, 22);
  b.writeUInt16LE(0xaa55, SECTOR - 2);
  return b;
};

/**
 * A disk of 1 MiB that UEFI boots and no BIOS does: a FAT12 with `\EFI\BOOT\BOOTX64.EFI`, which counts its boots in the machine's variables, so
 * that what it says tells of those. See `bootDisk` for the same by BIOS.
 */
export const efiDisk = (): Buffer => {
  const disk = Buffer.alloc(SECTORS * SECTOR);
  const file = application();
  const clusters = Math.ceil(file.length / SECTOR);
  // Clusters 2 and 3 are the folders, from 4 on the file.
  const chain = [0xff8, END_OF_FILE, END_OF_FILE, END_OF_FILE, ...Array.from({ length: clusters }, (_, n) => n + 5)];
  chain[chain.length - 1] = END_OF_FILE;
  const table = Buffer.alloc(FAT_SECTORS * SECTOR);
  for (const [n, next] of chain.entries()) {
    const at = n + (n >> 1);
    const both = table.readUInt16LE(at);
    table.writeUInt16LE(n & 1 ? (both & 0x000f) | (next << 4) : (both & 0xf000) | next, at);
  }
  const folder = (cluster: number, parent: number, child: Buffer): void =>
    void Buffer.concat([entry('.', 0x10, cluster), entry('..', 0x10, parent), child]).copy(disk, (DATA_AT + cluster - 2) * SECTOR);
  bootSector().copy(disk);
  for (const copy of [0, 1]) table.copy(disk, (1 + copy * FAT_SECTORS) * SECTOR);
  entry('EFI', 0x10, 2).copy(disk, ROOT_AT * SECTOR);
  folder(2, 0, entry('BOOT', 0x10, 3));
  folder(3, 2, entry('BOOTX64 EFI', 0x20, 4, file.length));
  file.copy(disk, (DATA_AT + 2) * SECTOR);
  return disk;
};
