import { mibOf, type DiskFormat, type DiskVerdict } from '@chrysalis/service-kit/images';
import { ProblemError, type ImageDepot } from '@chrysalis/service-kit';
import type { ImageFile } from '@chrysalis/contracts';

type Limits = Pick<ImageDepot, 'maxDiskMiB' | 'maxFileMiB'>;

export const assertFileFits = (bytes: number, { maxFileMiB }: Limits): void => {
  if (mibOf(bytes) > maxFileMiB)
    throw ProblemError.of({ code: 'image-file.too_large', message: `a file of ${bytes} bytes, and ${maxFileMiB} MiB are the most` });
};

/** What a guest would see of it, in bytes, or why it is not taken. */
export const usable = (verdict: DiskVerdict, { maxDiskMiB }: Limits): number => {
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
