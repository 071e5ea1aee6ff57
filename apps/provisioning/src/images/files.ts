import { createHash, randomUUID } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ProblemError, type ImageDepot } from '@chrysalis/service-kit';
import { depotName, GONE, goneName, openDisk, QCOW2_HEADER_BYTES, type DiskFormat } from '@chrysalis/service-kit/images';
import type { ImageChunk, ImageFile } from '@chrysalis/contracts';
import { Background } from './background.ts';
import { assertFileFits, judged, judgedHead, whole } from './judge.ts';

/** What is not finished for so long is given up. */
const STALE_MS = 86_400_000;
/** A host that was away for longer keeps its copy until somebody takes it away. */
const MARK_MS = 30 * STALE_MS;
export type Wanted = { readonly digest: string; readonly format: DiskFormat; readonly bytes: number };

/**
 * The disks that hosts fetch, by digest, in a folder that all instances see. A file comes in pieces, into one beside that has no name of a
 * disk; it gets that when it is whole and its digest is right, in one step. So whoever dies, and wherever, leaves a piece that goes on or
 * goes away after a day.
 */
export class ImageFiles {
  readonly #checks = new Background();

  constructor(readonly config: ImageDepot) {}

  /** Undefined: nothing of it is here. */
  async state(wanted: Wanted): Promise<ImageFile | undefined> {
    const there = await this.#whole(wanted);
    if (there) return there;
    this.#checks.throwFailure(depotName(wanted.digest, wanted.format));
    const received = await sizeOf(this.#part(wanted));
    if (received === 0) return undefined;
    return received === wanted.bytes ? this.#finish(wanted) : { ...wanted, received, state: 'receiving' };
  }

  /** A piece at its place; one that came before is as it was. The last one makes the file whole. */
  async put(wanted: Wanted, { offset, data }: Pick<ImageChunk, 'offset' | 'data'>, dryRun: boolean): Promise<ImageFile> {
    const { bytes, format } = wanted;
    const piece = Buffer.from(data, 'base64');
    const end = offset + piece.length;
    assertFileFits(bytes, this.config);
    if (end > bytes) throw ProblemError.of({ code: 'image-file.broken', message: `${end} bytes, and the file has ${bytes}` });
    const there = await this.#whole(wanted);
    if (there) return there;
    // What cannot be taken is refused before the rest of it comes.
    if (offset === 0 && (end >= QCOW2_HEADER_BYTES || end === bytes)) judgedHead(piece, format, bytes, this.config);
    const received = await sizeOf(this.#part(wanted));
    if (offset > received)
      throw ProblemError.of({ code: 'image-file.gap', message: `${received} bytes are here, and these begin at ${offset}`, received });
    if (dryRun) return { ...wanted, received: Math.max(received, end), state: 'receiving' };
    // What is here is not written again: whoever is checking it by then would give its name to something else.
    const fresh = piece.subarray(Math.max(received - offset, 0));
    if (fresh.length > 0) await this.#write(wanted, Math.max(received, offset), fresh);
    return Math.max(received, end) === bytes ? this.#finish(wanted) : { ...wanted, received: Math.max(received, end), state: 'receiving' };
  }

  /** What was made here, as a raw disk. Its digest. */
  async keep(content: Buffer, dryRun: boolean): Promise<string> {
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    if (dryRun) return digest;
    const part = await this.beside(randomUUID());
    const file = await open(part, 'wx', 0o640);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.name(part, digest, 'raw');
    return digest;
  }

  /** Gives a file that is whole its name. `from` is in the depot's folder. */
  async name(from: string, digest: string, format: DiskFormat): Promise<void> {
    await rename(from, join(this.config.depot, depotName(digest, format)));
    await rm(join(this.config.depot, goneName(digest, format)), { force: true });
    await syncFolder(this.config.depot);
  }

  /**
   * Of an image that was deleted. What is left is a mark, for a month: by it hosts know that their copies may go, which they cannot from a file
   * that is not to be seen, as then the depot may be.
   */
  async remove(digest: string, format: DiskFormat): Promise<void> {
    await this.beside('gone'); // makes the folder
    const mark = await open(join(this.config.depot, goneName(digest, format)), 'w', 0o640);
    await mark.close();
    await rm(join(this.config.depot, depotName(digest, format)), { force: true });
    await syncFolder(this.config.depot);
  }

  /** A new file beside those that are whole. */
  async beside(name: string): Promise<string> {
    await mkdir(this.config.depot, { recursive: true, mode: 0o750 });
    return join(this.config.depot, `.${name}.part`);
  }

  /** Pieces that nobody brings to an end, and whole files that for a day no image was registered for. */
  async sweep(registered: ReadonlySet<string>, now: number): Promise<number> {
    let gone = 0;
    for (const name of await readdir(this.config.depot).catch(() => [])) {
      const path = join(this.config.depot, name);
      const digest = /^([0-9a-f]{64})\.(raw|qcow2)$/.exec(name)?.[1];
      const mark = name.endsWith(GONE);
      if (!mark && !name.endsWith('.part') && (digest === undefined || registered.has(`sha256:${digest}`))) continue;
      const found = await stat(path).catch(() => undefined);
      if (!found || now - found.mtimeMs < (mark ? MARK_MS : STALE_MS)) continue;
      await rm(path, { force: true });
      gone++;
    }
    return gone;
  }

  async #whole({ digest, format, bytes }: Wanted): Promise<ImageFile | undefined> {
    const file = await openDisk(join(this.config.depot, depotName(digest, format))).catch(() => undefined);
    if (!file) return undefined;
    const found = await judged(file, format, this.config).finally(() => file.close());
    if (found.bytes !== bytes)
      throw ProblemError.of({ code: 'image-file.corrupt', message: `what has this digest has ${found.bytes} bytes, and not ${bytes}` });
    return whole(digest, format, bytes, found.virtualBytes);
  }

  #part({ digest, format, bytes }: Wanted): string {
    return join(this.config.depot, `.${depotName(digest, format)}.${bytes}.part`);
  }

  async #write(wanted: Wanted, offset: number, piece: Buffer): Promise<void> {
    await mkdir(this.config.depot, { recursive: true, mode: 0o750 });
    const flags = constants.O_WRONLY | (offset === 0 ? constants.O_CREAT : 0);
    const file = await open(this.#part(wanted), flags, 0o640).catch(() => undefined);
    if (!file) throw ProblemError.of({ code: 'image-file.gap', message: 'nothing of it is here any more', received: 0 });
    try {
      await file.write(piece, 0, piece.length, offset);
    } finally {
      await file.close();
    }
  }

  #finish(wanted: Wanted): Promise<ImageFile> {
    const { digest, format, bytes } = wanted;
    const work = async (): Promise<ImageFile> => {
      const part = this.#part(wanted);
      try {
        const virtualBytes = await this.#checked(part, wanted);
        await this.name(part, digest, format);
        return whole(digest, format, bytes, virtualBytes);
      } catch (error) {
        // Another instance was faster, and has given it its name.
        const there = await this.#whole(wanted).catch(() => undefined);
        if (there) return there;
        if (error instanceof ProblemError) await rm(part, { force: true }); // going on with it would lead nowhere
        throw error;
      }
    };
    return this.#checks.result(depotName(digest, format), work, () => ({ ...wanted, received: bytes, state: 'checking' }));
  }

  async #checked(part: string, { digest, format }: Wanted): Promise<number> {
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(part, { highWaterMark: 1_048_576 })) hash.update(chunk as Buffer);
    const came = `sha256:${hash.digest('hex')}`;
    if (came !== digest) throw ProblemError.of({ code: 'image-file.corrupt', message: `${came} came, and not ${digest}` });
    const file = await open(part, 'r+');
    try {
      await file.sync();
      return (await judged(file, format, this.config)).virtualBytes;
    } finally {
      await file.close();
    }
  }
}

const sizeOf = async (path: string): Promise<number> => (await stat(path).catch(() => undefined))?.size ?? 0;
const syncFolder = async (path: string): Promise<void> => {
  const folder = await open(path, 'r');
  await folder.sync().finally(() => folder.close());
};
