import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ImageDepot, type ProblemError } from '@chrysalis/service-kit';
import { ImageFiles, type Wanted } from './files.ts';
import { ImageImports } from './imports.ts';

const MIB = 1_048_576;
let dir: string;
let files: ImageFiles;
const digestOf = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const named = (content: Buffer, format: Wanted['format'] = 'raw'): Wanted => ({ digest: digestOf(content), format, bytes: content.length });
const there = (): string[] => readdirSync(join(dir, 'depot')).sort();
const piece = (content: Buffer, from: number, to: number) => ({ offset: from, data: content.subarray(from, to).toString('base64') });
const put = (content: Buffer, format: Wanted['format'] = 'raw') =>
  files.put(named(content, format), piece(content, 0, content.length), false);
const code = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (e: unknown) => (e as ProblemError).problem.code,
  );

/** The first bytes of a qcow2 that says it has so many bytes, and a table for it. */
const qcow2 = ({ size = BigInt(MIB), backing = 0n, crypt = 0, entries = 1, bytes = 1024, clusterBits = 16 } = {}): Buffer => {
  const file = Buffer.alloc(bytes);
  file.write('QFI\xfb', 'latin1');
  file.writeUInt32BE(3, 4);
  file.writeBigUInt64BE(backing, 8);
  file.writeUInt32BE(clusterBits, 20);
  file.writeBigUInt64BE(size, 24);
  file.writeUInt32BE(crypt, 32);
  file.writeUInt32BE(entries, 36);
  file.writeBigUInt64BE(512n, 40);
  file.writeUInt32BE(104, 100);
  return file;
};

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'chrysalis-depot-'));
  files = new ImageFiles(ImageDepot.parse({ depot: join(dir, 'depot'), imports: join(dir, 'imports'), maxFileMiB: 4 }));
  mkdirSync(join(dir, 'imports'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe('an upload', () => {
  const content = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251));
  const { digest } = named(content);

  test('cut at any byte goes on where it was, also at another instance, and is whole only at its end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.integer({ min: 1, max: 9_999 }), { maxLength: 6 }), async (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), content.length];
        expect(await files.state(named(content))).toBeUndefined();
        for (const [i, to] of ends.entries()) {
          const another = new ImageFiles(files.config);
          const at = (await another.state(named(content)))?.received ?? 0;
          expect(at).toBe(ends[i - 1] ?? 0);
          const got = await another.put(named(content), piece(content, at, to), false);
          expect(got).toMatchObject(
            to < content.length ? { received: to, state: 'receiving' } : { state: 'whole', disk: { format: 'raw', sizeMiB: 1 } },
          );
        }
        expect(there()).toEqual([`${digest.slice(7)}.raw`]);
        expect(readFileSync(join(dir, 'depot', there()[0]!)).equals(content)).toBe(true);
        rmSync(join(dir, 'depot'), { recursive: true });
      }),
      { numRuns: 30 },
    );
  });

  test('said again, at once and after its end, is what it was; a gap is told with where it goes on', async () => {
    expect(await code(files.put(named(content), piece(content, 5, 10), false))).toBe('image-file.gap');
    for (const _ of [1, 2]) await files.put(named(content), piece(content, 0, 6_000), false);
    await files.put(named(content), piece(content, 3_000, 5_000), false);
    await expect(files.put(named(content), piece(content, 6_001, 7_000), false)).rejects.toMatchObject({
      problem: { code: 'image-file.gap', received: 6_000 },
    });
    const ends = await Promise.all([1, 2, 3].map(() => files.put(named(content), piece(content, 6_000, 10_000), false)));
    expect(new Set(ends.map((e) => e.state))).toEqual(new Set(['whole']));
    expect(await put(content)).toMatchObject({ state: 'whole' });
    expect(there()).toHaveLength(1);
  });

  test('what came stays as it came, whatever is said at its place later', async () => {
    await files.put(named(content), piece(content, 0, 6_000), false);
    await files.put(named(content), { offset: 1_000, data: Buffer.alloc(2_000, 7).toString('base64') }, false);
    const overlapping = Buffer.concat([Buffer.alloc(1_000, 7), content.subarray(6_000)]);
    const end = await files.put(named(content), { offset: 5_000, data: overlapping.toString('base64') }, false);
    expect(end).toMatchObject({ state: 'whole', digest });
  });

  test('an instance that was killed after the last piece: the next that is asked makes it whole', async () => {
    await files.put(named(content), piece(content, 0, 9_999), false);
    writeFileSync(join(dir, 'depot', there()[0]!), content);
    expect(await new ImageFiles(files.config).state(named(content))).toMatchObject({ state: 'whole', digest });
  });

  test('of another content is thrown away, with its reason; a dry run leaves nothing', async () => {
    const other = { ...named(content), digest: digestOf(Buffer.from('other')) };
    expect(await files.put(other, piece(content, 0, 100), true)).toMatchObject({ received: 100, state: 'receiving' });
    expect(await files.state(other)).toBeUndefined();
    expect(await code(files.put(other, piece(content, 0, content.length), false))).toBe('image-file.corrupt');
    expect(there()).toEqual([]);
    expect(await files.state(other)).toBeUndefined();
  });

  test.each<[string, Buffer, string]>([
    ['1 TiB in 1 KiB', qcow2({ size: 1n << 40n, entries: 2, clusterBits: 21 }), 'image-file.too_large'],
    ['a backing file', qcow2({ backing: 512n }), 'image-file.unsafe'],
    ['encrypted', qcow2({ crypt: 2 }), 'image-file.unsafe'],
    ['a size that its table does not have', qcow2({ size: 1n << 38n }), 'image-file.broken'],
    ['a table beyond its end', qcow2({ bytes: 515 }), 'image-file.broken'],
    ['no qcow2', Buffer.alloc(600), 'image-file.broken'],
    ['shorter than a header', qcow2().subarray(0, 60), 'image-file.broken'],
    ['no size', qcow2({ size: 0n }), 'image-file.broken'],
  ])('a qcow2 is not taken, and nothing of it is there: %s', async (_, bytes, want) => {
    expect(await code(put(bytes, 'qcow2'))).toBe(want);
    // Also where its first piece was too short to say it.
    await files.put(named(bytes, 'qcow2'), piece(bytes, 0, 20), false);
    expect(await code(files.put(named(bytes, 'qcow2'), piece(bytes, 20, bytes.length), false))).toBe(want);
    expect(there()).toEqual([]);
  });

  const sectors = (mark: string, at: number, size = 65_536): Buffer => {
    const bytes = Buffer.alloc(size);
    bytes.write(mark, at, 'latin1');
    return bytes;
  };
  const bootable = sectors('CD001', 32_769);
  bootable.write('\x55\xaa', 510, 'latin1');

  test.each<[string, Buffer]>([
    ['a qcow2, so say --format qcow2', qcow2()],
    ['a VMDK', sectors('KDMV', 0)],
    ['the description of a VMDK', sectors('# Disk DescriptorFile\nversion=1', 0)],
    ['a VDI', sectors('\x7f\x10\xda\xbe', 64)],
    ['a VHDX', sectors('vhdxfile', 0)],
    ['packed by gzip', gzipSync(randomBytes(2_000))],
    ['packed by zstd', zstdCompressSync(randomBytes(2_000))],
    ['packed by xz', sectors('\xfd7zXZ\0', 0)],
    ['an ISO 9660 that boots from a CD only', sectors('CD001', 32_769)],
    ['of 6 bytes, and the first sector of a disk alone has 512', Buffer.from('a text')],
  ])('what is called raw is not taken where it begins as something else: %s', async (what, bytes) => {
    const refused = { problem: { code: 'image-file.not_raw', status: 422, detail: `it is no raw disk: it is ${what}` } };
    await expect(put(bytes)).rejects.toMatchObject(refused);
    await files.put(named(bytes), piece(bytes, 0, 3), false); // too little to say it
    await expect(files.put(named(bytes), piece(bytes, 3, bytes.length), false)).rejects.toMatchObject(refused);
    writeFileSync(join(dir, 'imports', 'disk'), bytes);
    for (const dryRun of [true, false])
      await expect(new ImageImports(files).take({ path: 'disk', format: 'raw' }, dryRun)).rejects.toMatchObject(refused);
    expect(there()).toEqual([]);
  });

  test.each<[string, Buffer]>([
    ['one sector', Buffer.alloc(512)],
    ['random', randomBytes(4_096).fill(0, 0, 512)],
    ['an ISO with a boot sector, which boots as a disk', bootable],
  ])('what may be a raw disk is taken as one: %s', async (_, bytes) => {
    expect(await put(bytes)).toMatchObject({ state: 'whole', disk: { format: 'raw', sizeMiB: 1 } });
  });

  test('larger than files may be, or than it was said to be, is refused with its first piece', async () => {
    expect(await code(files.put({ ...named(content), bytes: 5 * MIB }, piece(content, 0, 10), false))).toBe('image-file.too_large');
    expect(await code(files.put({ ...named(content), bytes: 9_000 }, piece(content, 0, 10_000), false))).toBe('image-file.broken');
    expect(await code(put(qcow2(), 'qcow2'))).toBe('done');
  });

  test('what nobody brings to its end, or registers, goes after a day', async () => {
    await put(content);
    await put(qcow2(), 'qcow2');
    await files.put(named(Buffer.alloc(500, 1)), piece(Buffer.alloc(500, 1), 0, 100), false);
    expect(there()).toHaveLength(3);
    expect(await files.sweep(new Set(), Date.now())).toBe(0);
    for (const name of there()) utimesSync(join(dir, 'depot', name), 1, 1);
    expect(await files.sweep(new Set([digest]), Date.now())).toBe(2);
    expect(there()).toEqual([`${digest.slice(7)}.raw`]);
  });
});

describe('a file in the folder for imports', () => {
  const content = Buffer.alloc(3 * MIB, 'disk');
  const take = (path: string) => new ImageImports(files).take({ path, format: 'raw' }, false);
  const inside = (name: string): string => join(dir, 'imports', name);

  test('is copied, by its name, by a path from the root, and again', async () => {
    mkdirSync(inside('sub'));
    writeFileSync(inside('sub/disk.raw'), content);
    const want = { state: 'whole', digest: digestOf(content), disk: { format: 'raw', sizeMiB: 3 } };
    expect(await new ImageImports(files).take({ path: 'sub/disk.raw', format: 'raw' }, true)).toMatchObject({
      state: 'copying',
      received: 0,
    });
    for (const path of ['sub/disk.raw', inside('sub/disk.raw'), './sub/../sub/disk.raw']) expect(await take(path)).toMatchObject(want);
    expect(there()).toEqual([`${want.digest.slice(7)}.raw`]);
  });

  test('is there itself, and not by a link, nor anywhere else, nor anything but a file', async () => {
    const secret = join(dir, 'secret');
    writeFileSync(secret, content);
    writeFileSync(inside('large'), '');
    truncateSync(inside('large'), 5 * MIB);
    symlinkSync(secret, inside('link'));
    symlinkSync(dir, inside('folder'));
    execFileSync('mkfifo', [inside('pipe')]);
    linkSync(secret, inside('hard')); // another name of one file: who could write it there could copy it as well
    const refused = [
      '../secret',
      secret,
      '/etc/passwd',
      'link',
      'folder/secret',
      'folder/imports/large',
      'pipe',
      '.',
      '',
      '..',
      'nothing',
      'a\0b',
    ];
    for (const path of refused) expect([path, await code(take(path))]).toEqual([path, 'image-file.path_refused']);
    expect(await code(take('large'))).toBe('image-file.too_large');
    expect(await take('hard')).toMatchObject({ state: 'whole' });
    expect(await code(new ImageImports(new ImageFiles(ImageDepot.parse({ depot: join(dir, 'depot') }))).take({ path: 'hard', format: 'raw' }, false))).toBe('image-file.path_refused'); // prettier-ignore
    expect(await code(new ImageImports(files).take({ path: 'hard', format: 'qcow2' }, false))).toBe('image-file.broken');
    expect(there()).toHaveLength(1);
  });
});
