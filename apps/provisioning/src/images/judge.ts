import type { FileHandle } from 'node:fs/promises';
import { judgeDisk, judgeHeader, mibOf, type DiskFormat, type DiskVerdict } from '@chrysalis/service-kit/images';
import { ProblemError, type ImageDepot } from '@chrysalis/service-kit';
import type { ImageFile } from '@chrysalis/contracts';
import { otherThanRaw, RAW_HEAD_BYTES } from './raw.ts';

type Limits = Pick<ImageDepot, 'maxDiskMiB' | 'maxFileMiB'>;

export const assertFileFits = (bytes: number, { maxFileMiB }: Limits): void => {
  if (mibOf(bytes) > maxFileMiB)
    throw ProblemError.of({ code: 'image-file.too_large', message: `a file of ${bytes} bytes, and ${maxFileMiB} MiB are the most` });
};

const assertRaw = (head: Uint8Array, format: DiskFormat, fileBytes: number): void => {
  const other = format === 'raw' ? otherThanRaw(head, fileBytes) : undefined;
  if (other !== undefined) throw ProblemError.of({ code: 'image-file.not_raw', message: `it is no raw disk: it is ${other}` });
};

/** By its first bytes, as many as have come: more may come to say more. */
export const judgedHead = (head: Uint8Array, format: DiskFormat, fileBytes: number, limits: Limits): void => {
  assertRaw(head, format, fileBytes);
  usable(judgeHeader(head, format, fileBytes, head.length === fileBytes), limits);
};

/** A file that is whole: how large it is, and what a guest would see of it. */
export const judged = async (file: FileHandle, format: DiskFormat, limits: Limits): Promise<{ bytes: number; virtualBytes: number }> => {
  const verdict = await judgeDisk(file, format);
  if (verdict.bytes > 0) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(RAW_HEAD_BYTES), 0, RAW_HEAD_BYTES, 0);
    assertRaw(buffer.subarray(0, bytesRead), format, verdict.bytes);
  }
  return { bytes: verdict.bytes, virtualBytes: usable(verdict, limits) };
};

/** What a guest would see of it, in bytes, or why it is not taken. */
const usable = (verdict: DiskVerdict, { maxDiskMiB }: Limits): number => {
  if (verdict.is === 'unsafe') throw ProblemError.of({ code: 'image-file.unsafe', message: verdict.why });
  if (verdict.is === 'broken') throw ProblemError.of({ code: 'image-file.broken', message: verdict.why });
  const { virtualBytes } = verdict;
  if (virtualBytes === 0) throw ProblemError.of({ code: 'image-file.broken', message: 'a disk of no size' });
  if (mibOf(virtualBytes) > maxDiskMiB)
    throw ProblemError.of({
      code: 'image-file.too_large',
      message: `a disk of ${mibOf(virtualBytes)} MiB, and ${maxDiskMiB} are the most`,
    });
  return virtualBytes;
};

export const whole = (digest: string, format: DiskFormat, bytes: number, virtualBytes: number): ImageFile => ({
  digest,
  format,
  bytes,
  received: bytes,
  state: 'whole',
  disk: { format, sizeMiB: mibOf(virtualBytes) },
});
