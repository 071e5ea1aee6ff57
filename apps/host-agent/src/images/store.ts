import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Count, Id, Name, Positive, Sha256, StoredFormat, Timestamp } from '@chrysalis/contracts';
import { Mutexes } from '@chrysalis/hypervisor';
import { z } from 'zod';
import { makeDirectory, readIfThere, removeDurably, writeDurably } from '../durable/files.ts';

/** What is known of an image: its file is whole where this is there. `source`: what it was made from; `madeBy`: the workflow that put it there. */
const Manifest = z.object({
  image: Name,
  format: StoredFormat,
  sizeMiB: Positive,
  bytes: Count,
  digest: Sha256,
  source: z.string().max(512),
  madeBy: Id,
  /** The task of that workflow, where it matters which. */
  task: z.string().max(128).optional(),
  at: Timestamp,
  /** Of a save file: whose, and of when. */
  saved: z.object({ vmId: Id, epoch: Positive, topologyHash: Sha256, pausedMs: z.number().nonnegative(), stoppedAt: Timestamp }).optional(),
});
export type Manifest = z.infer<typeof Manifest>;

const STALE_MS = 86_400_000;
/** The source of an image that was fetched from where the gateway is. */
export const DEPOT = 'depot';

/**
 * The disk images of a host: `<name>.img` beside `<name>.json`. A file is written beside and renamed, then its manifest is written: without
 * one there is no image, whatever a crash left. Callers hold the image's lane, or for the last steps `alone`, so one writer an image.
 */
export class DiskImages {
  readonly #alone = new Mutexes();

  private constructor(private readonly directory: string) {}

  static async open(directory: string): Promise<DiskImages> {
    await makeDirectory(directory);
    const images = new DiskImages(directory);
    await images.#sweep();
    return images;
  }

  file(image: string): string {
    return join(this.directory, `${Name.parse(image)}.img`);
  }

  /** Where an image is made before it is one. */
  beside(image: string, kind: 'new' | 'part', of: string): string {
    return join(this.directory, `.${Name.parse(image)}.${createHash('sha256').update(of).digest('hex').slice(0, 16)}.${kind}`);
  }

  /** The image, if it is there and its file is as long as it was. */
  async get(image: string): Promise<Manifest | undefined> {
    const text = await readIfThere(this.#manifest(image));
    if (text === undefined) return undefined;
    const manifest = Manifest.parse(JSON.parse(text));
    const there = await stat(this.file(image)).catch(() => undefined);
    return there?.size === manifest.bytes ? manifest : undefined;
  }

  /** One of this content, whatever its name here. */
  async ofDigest(digest: string): Promise<Manifest | undefined> {
    return (await findByDigest(this.directory, digest))?.manifest;
  }

  /** Those that a depot gave. */
  async ofDepot(): Promise<Manifest[]> {
    const names = (await readdir(this.directory)).filter((n) => /^[a-z].*\.json$/.test(n)).map((n) => n.replace(/\.json$/, ''));
    const found = await Promise.all(names.map((name) => this.get(name).catch(() => undefined)));
    return found.filter((m) => m?.source === DEPOT) as Manifest[];
  }

  /** The file made beside becomes the image. Again after a crash anywhere: the same. */
  async put(from: string, manifest: Manifest, at: (point: string) => Promise<void>): Promise<Manifest> {
    await sync(from);
    await at('image:made');
    await removeDurably(this.#manifest(manifest.image)); // an older one of that name is none any more
    await rename(from, this.file(manifest.image));
    await at('image:renamed');
    await writeDurably(this.#manifest(manifest.image), JSON.stringify(manifest));
    return manifest;
  }

  /** What looks and then puts or removes, one at a time an image. */
  alone<T>(image: string, work: () => Promise<T>): Promise<T> {
    return this.#alone.run(image, work);
  }

  /** The manifest first: what has none is no image. */
  async remove(image: string): Promise<void> {
    await removeDurably(this.#manifest(image));
    await removeDurably(this.file(image));
  }

  #manifest(image: string): string {
    return join(this.directory, `${Name.parse(image)}.json`);
  }

  /** What an earlier life was making is gone with it; what it was fetching may go on, for a day. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.directory)) {
      const path = join(this.directory, name);
      const old = name.endsWith('.part') && Date.now() - (await stat(path)).mtimeMs > STALE_MS;
      if (name.endsWith('.new') || old) await rm(path, { force: true });
    }
  }
}

/** In the store in this folder: whole images alone have a manifest. A store has tens of them. */
export const findByDigest = async (directory: string, digest: string): Promise<{ manifest: Manifest; file: string } | undefined> => {
  for (const name of (await readdir(directory).catch(() => [])).filter((n) => /^[a-z].*\.json$/.test(n))) {
    const text = await readIfThere(join(directory, name));
    const read = text === undefined ? undefined : Manifest.safeParse(JSON.parse(text));
    const file = join(directory, name.replace(/json$/, 'img'));
    if (read?.data?.digest !== digest) continue;
    if ((await stat(file).catch(() => undefined))?.size === read.data.bytes) return { manifest: read.data, file };
  }
  return undefined;
};

/** `sha256:<hex>` of a file, about 0.5 GB/s. */
export const digestOf = async (file: string, signal?: AbortSignal): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1_048_576 }), hash, ...(signal ? [{ signal }] : [])).catch((error: unknown) => {
    signal?.throwIfAborted(); // with the reason, which the stream does not tell
    throw error;
  });
  return `sha256:${hash.digest('hex')}`;
};

const sync = async (path: string): Promise<void> => {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
};
