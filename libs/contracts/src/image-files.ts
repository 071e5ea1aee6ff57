import { z } from 'zod';
import { Count, DiskImage, ImageFormat, Positive, Sha256 } from './shapes.ts';

/** Of one request, in base64 below what a body may have. */
export const IMAGE_CHUNK_BYTES = 720_896;

/** A piece of a disk's file. `bytes`: of the whole file. */
export const ImageChunk = z.strictObject({
  format: ImageFormat,
  bytes: Positive.max(Number.MAX_SAFE_INTEGER),
  offset: Count,
  /** Base64. */
  data: z.base64().min(1).max(1_000_000),
});
export type ImageChunk = z.infer<typeof ImageChunk>;

/** A file in the folder for imports, by its path in there. */
export const ImageImport = z.strictObject({ path: z.string().min(1).max(4096), format: ImageFormat });
export type ImageImport = z.infer<typeof ImageImport>;

/**
 * How far a file is. `receiving`: up to `received`, where it goes on, also after it broke off. `checking`, `copying`: ask again. `whole`: it is
 * the file of this digest, and what a guest sees of it is `disk`.
 */
export const ImageFile = z.object({
  digest: Sha256.optional(),
  format: ImageFormat,
  bytes: Count,
  received: Count,
  state: z.enum(['receiving', 'checking', 'copying', 'whole']),
  disk: DiskImage.optional(),
});
export type ImageFile = z.infer<typeof ImageFile>;
