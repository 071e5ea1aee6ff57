import { expect, test } from '@jest/globals';
import { QCOW2_HEADER_BYTES, readQcow2 } from './qcow2.ts';

type Fields = {
  version: number;
  backingOffset: bigint;
  backingSize: number;
  bits: number;
  size: bigint;
  crypt: number;
  needs: bigint;
  length: number;
  entries: number;
};

/** As `qemu-img create -f qcow2` writes it, but for `over`. */
const header = (over: Partial<Fields> = {}): Buffer => {
  const f: Fields = {
    version: 3,
    backingOffset: 0n,
    backingSize: 0,
    bits: 16,
    size: 1n << 30n,
    crypt: 0,
    needs: 0n,
    length: 112,
    entries: 1 << 20,
    ...over,
  };
  const bytes = Buffer.alloc(QCOW2_HEADER_BYTES);
  bytes.write('QFI\xfb', 'latin1');
  bytes.writeUInt32BE(f.version, 4);
  bytes.writeBigUInt64BE(f.backingOffset, 8);
  bytes.writeUInt32BE(f.backingSize, 16);
  bytes.writeUInt32BE(f.bits, 20);
  bytes.writeBigUInt64BE(f.size, 24);
  bytes.writeUInt32BE(f.crypt, 32);
  bytes.writeUInt32BE(f.entries, 36);
  bytes.writeBigUInt64BE(BigInt(QCOW2_HEADER_BYTES), 40);
  bytes.writeBigUInt64BE(f.needs, 72);
  bytes.writeUInt32BE(f.length, 100);
  return bytes;
};

test.each([3, 2])('version %d, alone and whole, is usable and tells its size', (version) => {
  expect(readQcow2(header({ version }))).toEqual({ is: 'usable', virtualBytes: 1 << 30 });
});

test('compressed with zstd, extended L2 entries and left open: usable', () => {
  expect(readQcow2(header({ needs: 0b11001n })).is).toBe('usable');
});

test('no backing file: the length of its name is undefined, and not looked at', () => {
  expect(readQcow2(header({ backingSize: 11 })).is).toBe('usable');
});

test('version 2 has no features: what lies there is something else', () => {
  expect(readQcow2(header({ version: 2, needs: 0b110n, length: 0 }).subarray(0, 72)).is).toBe('usable');
});

test.each<[string, Partial<Fields>]>([
  ['a backing file', { backingOffset: 512n, backingSize: 11 }],
  ['a backing file of no name', { backingOffset: 512n }],
  ['a backing file in version 2', { version: 2, backingOffset: 1n << 63n }],
  ['AES', { crypt: 1 }],
  ['LUKS', { crypt: 2 }],
  ['an external data file', { needs: 0b100n }],
  ['an external data file, and corrupt', { needs: 0b110n }],
  ['a feature that is not known', { needs: 1n << 63n }],
])('unsafe: %s', (_, over) => {
  expect(readQcow2(header(over)).is).toBe('unsafe');
});

test.each<[string, Uint8Array]>([
  ['nothing', new Uint8Array()],
  ['a raw disk', Buffer.alloc(512)],
  ['the magic number alone', header().subarray(0, 4)],
  ['version 3, cut off after the part of version 2', header().subarray(0, 100)],
  ['version 1', header({ version: 1 })],
  ['a later version', header({ version: 4 })],
  ['marked as corrupt', header({ needs: 0b10n })],
  ['clusters too small', header({ bits: 8 })],
  ['clusters too large', header({ bits: 4_294_967_295 })],
  ['a size beyond what a number holds', header({ size: (1n << 64n) - 1n })],
  ['a header shorter than its fields', header({ length: 72 })],
])('broken: %s', (_, bytes) => {
  expect(readQcow2(bytes).is).toBe('broken');
});

test('a view into the middle of a larger buffer is read from its own beginning', () => {
  const larger = Buffer.concat([Buffer.alloc(7, 0xff), header()]);
  expect(readQcow2(larger.subarray(7)).is).toBe('usable');
});

test('a header that lies: of its size, or of what is in its file', () => {
  expect(readQcow2(header({ size: 1n << 50n, entries: 1 })).is).toBe('broken');
  expect(readQcow2(header({ size: 1n << 30n, entries: 2 }), QCOW2_HEADER_BYTES + 16).is).toBe('usable');
  expect(readQcow2(header({ size: 1n << 30n, entries: 2 }), QCOW2_HEADER_BYTES + 15).is).toBe('broken');
});
