import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageFormat, Sha256 } from '@chrysalis/contracts';
import type { z } from 'zod';
import { QCOW2_HEADER_BYTES, readQcow2, type Qcow2Verdict } from './qcow2.ts';

export { QCOW2_HEADER_BYTES } from './qcow2.ts';

export type DiskFormat = z.infer<typeof ImageFormat>;
const MIB = 1_048_576;
export const mibOf = (bytes: number): number => Math.max(1, Math.ceil(bytes / MIB));

/** The name of a whole disk in a depot of images, and behind `/v1/image-files/` where agents fetch it. */
export const depotName = (digest: z.infer<typeof Sha256>, format: DiskFormat): string => `${digest.slice('sha256:'.length)}.${format}`;
export const depotFile = (depot: string, name: string): string | undefined =>
  /^[0-9a-f]{64}\.(raw|qcow2)$/.test(name) ? join(depot, name) : undefined;

/** Of a disk whose image was deleted there is a mark in its place. */
export const GONE = '.gone';
export const goneName = (digest: z.infer<typeof Sha256>, format: DiskFormat): string => `${depotName(digest, format)}${GONE}`;

export type DiskVerdict = Qcow2Verdict;
/** What a disk is by its first bytes. A raw one is what its length says; formats are named by who gives it, and never guessed. */
export const judgeHeader = (header: Uint8Array, format: DiskFormat, fileBytes: number, whole: boolean): DiskVerdict => {
  if (format === 'qcow2') return readQcow2(header, whole ? fileBytes : undefined);
  return fileBytes > 0 ? { is: 'usable', virtualBytes: fileBytes } : { is: 'broken', why: 'it is empty' };
};
export const judgeDisk = async (file: FileHandle, format: DiskFormat): Promise<DiskVerdict & { readonly bytes: number }> => {
  const found = await file.stat();
  if (!found.isFile()) return { is: 'broken', why: 'it is no file', bytes: 0 };
  const { buffer, bytesRead } = await file.read(Buffer.alloc(QCOW2_HEADER_BYTES), 0, QCOW2_HEADER_BYTES, 0);
  return { ...judgeHeader(buffer.subarray(0, bytesRead), format, found.size, true), bytes: found.size };
};

/** Without waiting for a writer, where it is a pipe, and without following a link. */
export const openDisk = (path: string): Promise<FileHandle> => open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
