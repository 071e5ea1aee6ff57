import { createHash, randomUUID } from 'node:crypto';
import { open, readlink, realpath, rm, type FileHandle } from 'node:fs/promises';
import { relative, resolve, sep } from 'node:path';
import type { ImageFile, ImageImport } from '@chrysalis/contracts';
import { ProblemError } from '@chrysalis/service-kit';
import { openDisk } from '@chrysalis/service-kit/images';
import { Background } from './background.ts';
import type { ImageFiles } from './files.ts';
import { assertFileFits, judged, whole } from './judge.ts';

const CHUNK = 1_048_576;

/** Takes disks from the folder for imports on the machine of provisioning. Asked again while it copies it tells how far it is. */
export class ImageImports {
  readonly #copies = new Background();
  readonly #copied = new Map<string, number>();

  constructor(private readonly files: ImageFiles) {}

  async take({ path, format }: ImageImport, dryRun: boolean): Promise<ImageFile> {
    const { file, real } = await this.#opened(path);
    const name = `${format} ${real}`;
    try {
      assertFileFits((await file.stat()).size, this.files.config);
      const { bytes } = await judged(file, format, this.files.config);
      const meanwhile = (): ImageFile => ({ format, bytes, received: this.#copied.get(name) ?? 0, state: 'copying' });
      if (dryRun) return meanwhile();
      return await this.#copies.result(name, () => this.#copy(real, format, name), meanwhile);
    } finally {
      await file.close();
    }
  }

  /** The file itself, in the folder itself: no link on the way, whoever changes one while we look. */
  async #opened(path: string): Promise<{ file: FileHandle; real: string }> {
    const { imports } = this.files.config;
    const refused = (message: string): ProblemError => ProblemError.of({ code: 'image-file.path_refused', message });
    if (imports === undefined) throw refused('this installation has no folder for imports');
    const folder = await realpath(imports).catch(() => undefined);
    if (folder === undefined) throw refused('the folder for imports is not there');
    // An absolute path may name the folder as the configuration does, which may be by a link.
    const inside = relative(resolve(imports), resolve(imports, path));
    const real = resolve(folder, inside);
    if (!real.startsWith(folder + sep)) throw refused(`${path} is not in the folder for imports`);
    const file = await openDisk(real).catch((error: NodeJS.ErrnoException) => {
      throw refused(error.code === 'ELOOP' ? `${path} is a link` : `${path} is not opened: ${error.code ?? error.message}`);
    });
    const opened = await readlink(`/proc/self/fd/${file.fd}`);
    if (opened === real && (await file.stat()).isFile()) return { file, real };
    await file.close();
    throw refused(opened === real ? `${path} is no file` : `a link leads to ${path}`);
  }

  async #copy(real: string, format: ImageImport['format'], name: string): Promise<ImageFile> {
    const { file } = await this.#opened(real);
    const part = await this.files.beside(randomUUID());
    const to = await open(part, 'wx+', 0o640);
    try {
      const digest = await this.#pumped(file, to, name);
      const { bytes, virtualBytes } = await judged(to, format, this.files.config); // of what was copied, whatever became of the other meanwhile
      await to.sync();
      await this.files.name(part, digest, format);
      return whole(digest, format, bytes, virtualBytes);
    } finally {
      this.#copied.delete(name);
      await Promise.all([file.close(), to.close()]);
      await rm(part, { force: true });
    }
  }

  async #pumped(from: FileHandle, to: FileHandle, name: string): Promise<string> {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let at = 0; ;) {
      const { bytesRead } = await from.read(buffer, 0, CHUNK, at);
      if (bytesRead === 0) return `sha256:${hash.digest('hex')}`;
      hash.update(buffer.subarray(0, bytesRead));
      await to.write(buffer, 0, bytesRead, at);
      at += bytesRead;
      assertFileFits(at, this.files.config); // it grows while it is read
      this.#copied.set(name, at);
    }
  }
}
