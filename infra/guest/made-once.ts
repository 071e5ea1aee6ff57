import { chmod, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/**
 * What is in `dir`, or is made there if `look` does not find it whole: in a folder beside it, then renamed, so that nobody sees a half
 * of it and of several that make it at once the first one's stays. Throws where what was made is not found whole either.
 */
export const madeOnce = async <T>(
  dir: string,
  look: (dir: string) => Promise<T | undefined>,
  make: (work: string) => Promise<unknown>,
): Promise<T> => {
  const cached = await look(dir);
  if (cached) return cached;
  await mkdir(dirname(dir), { recursive: true });
  const work = await mkdtemp(join(dirname(dir), 'making-'));
  try {
    await chmod(work, 0o755); // QEMU may run as another user
    await make(work);
    await rename(work, dir).catch(async (e: NodeJS.ErrnoException) => {
      if (e.code !== 'ENOTEMPTY' && e.code !== 'EEXIST') throw e;
      if (await look(dir)) return; // someone else was faster
      await rm(dir, { recursive: true, force: true });
      await rename(work, dir);
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const made = await look(dir);
  if (!made) throw new Error(`what is in ${dir} does not have the checksums of its manifest`);
  return made;
};
