import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { run } from './debian.ts';
import { asOwner, installDebian } from './debian-root.ts';
import { asQcow2, assembleDisk } from './disk-layout.ts';
import { locked } from './locked.ts';
import { madeOnce } from './made-once.ts';

type Digest = `sha256:${string}`;
type Manifest = Readonly<{
  suite: string;
  digest: Digest;
  bytes: number;
  virtualBytes: number;
  packages: Readonly<Record<string, string>>;
}>;
export type DebianImage = Readonly<{ file: string; manifest: Manifest }>;

const suite = 'bookworm';
/** The root's, by which boot loader and kernel find it: in setup.sh's and tree/'s files as well. */
const label = 'chrysalis-root';
const sizeMiB = 1536;
const recipe = join(import.meta.dirname, 'debian');
const say = (line: string): void => void process.stderr.write(`debian image: ${line}\n`);

/**
 * A whole Debian on a disk of its own, which boots on BIOS and UEFI: a compressed qcow2 that needs no other file. Made from the
 * machine's mirror without mounting anything, once for each state of its recipe; who asks while another makes it waits for that one.
 * Rejects with `MissingTool` where a program is missing.
 */
export const ensureDebianImage = async (o: { cacheDir: string }): Promise<DebianImage> => {
  const dir = join(o.cacheDir, `debian-${(await recipeDigest()).slice(0, 16)}`);
  const cached = await fromCache(dir);
  if (cached) return cached;
  await mkdir(o.cacheDir, { recursive: true });
  return locked(join(o.cacheDir, 'debian.lock'), () => madeOnce(dir, fromCache, build));
};

const fromCache = async (dir: string): Promise<DebianImage | undefined> => {
  try {
    const manifest = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8')) as Manifest;
    const file = join(dir, 'disk.qcow2');
    return (await digestOf(file)) === manifest.digest ? { file, manifest } : undefined;
  } catch {
    return undefined;
  }
};

const digestOf = async (file: string): Promise<Digest> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return `sha256:${hash.digest('hex')}`;
};

const recipeDigest = async (): Promise<string> => {
  const inFolder = (await readdir(recipe, { recursive: true, withFileTypes: true })).filter((f) => f.isFile());
  const sources = [
    ...['debian-image.ts', 'debian-root.ts', 'disk-layout.ts'].map((f) => join(import.meta.dirname, f)),
    ...inFolder.map((f) => join(f.parentPath, f.name)).sort(),
  ];
  const texts = await Promise.all(sources.map(async (f) => [f.slice(import.meta.dirname.length), await readFile(f, 'utf8')]));
  return createHash('sha256').update(JSON.stringify(texts)).digest('hex');
};

const build = async (work: string): Promise<void> => {
  const startedAt = performance.now();
  const took = (): string => `${((performance.now() - startedAt) / 1000).toFixed(0)} s`;
  const root = join(work, 'root');
  try {
    say(`fetching and installing ${suite}; this takes minutes`);
    await installDebian({ suite, root, recipe, work, say });
    say(`installed after ${took()}; making the disk`);
    const raw = join(work, 'disk.raw');
    await assembleDisk({ disk: raw, root, label, sizeMiB, work, asOwner });
    const file = join(work, 'disk.qcow2');
    const bytes = await asQcow2(raw, file);
    const manifest: Manifest = {
      suite,
      digest: await digestOf(file),
      bytes,
      virtualBytes: sizeMiB << 20,
      packages: await packagesOf(root),
    };
    await writeFile(join(work, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    say(`made in ${took()}: ${(bytes / 1e6).toFixed(0)} MB, ${Object.keys(manifest.packages).length} packages`);
  } finally {
    if (existsSync(root)) await asOwner('find', [root, '-xdev', '-mindepth', '1', '-delete']);
    for (const f of ['disk.raw', 'partitions', 'tree.tar']) await rm(join(work, f), { force: true });
  }
};

const packagesOf = async (root: string): Promise<Record<string, string>> => {
  const listed = await run('dpkg-query', [`--admindir=${join(root, 'var/lib/dpkg')}`, '-W', '-f', '${Package} ${Version}\n']);
  return Object.fromEntries(
    listed
      .trim()
      .split('\n')
      .map((l) => l.split(' ')),
  );
};

if (process.argv[1] && fileURLToPath(import.meta.url) === (await realpath(process.argv[1]))) {
  const { values } = parseArgs({ options: { 'cache-dir': { type: 'string', default: '.cache' } } });
  process.stdout.write(`${(await ensureDebianImage({ cacheDir: values['cache-dir'] })).file}\n`);
}
