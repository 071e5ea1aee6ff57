import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image } from '@chrysalis/contracts';
import { z } from 'zod';
import { TaskFailure } from '../execution/task-failure.ts';

const Manifest = z.object({ digest: z.string(), files: z.object({ kernel: z.string(), initrd: z.string() }) });

/** Files of an image by its digest: `<store>/<any name>/manifest.json` says which files are which image. */
export const imageStore = (directory: string): ((image: Image) => Promise<{ kernel: string; initrd: string }>) => {
  const found = new Map<string, { kernel: string; initrd: string }>();
  return async ({ name, version, digest }) => {
    if (!found.has(digest)) for (const [key, files] of await readStore(directory)) found.set(key, files);
    const files = found.get(digest);
    if (!files) throw new TaskFailure('host.image_missing', `${name}@${version} (${digest}) is not in this host's image store`);
    return files;
  };
};

const readStore = async (directory: string): Promise<[string, { kernel: string; initrd: string }][]> => {
  const entries = await readdir(directory, { withFileTypes: true });
  const read = async (name: string): Promise<[string, { kernel: string; initrd: string }][]> => {
    const at = join(directory, name);
    const text = await readFile(join(at, 'manifest.json'), 'utf8').catch(() => undefined);
    const manifest = text === undefined ? undefined : Manifest.safeParse(JSON.parse(text));
    if (!manifest?.success) return [];
    const { digest, files } = manifest.data;
    return [[digest, { kernel: join(at, files.kernel), initrd: join(at, files.initrd) }]];
  };
  return (await Promise.all(entries.filter((e) => e.isDirectory() || e.isSymbolicLink()).map((e) => read(e.name)))).flat();
};
