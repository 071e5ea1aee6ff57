import { link, mkdir, open, readFile, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { PoolId } from '@chrysalis/contracts';
import type { PoolKind } from './kind.ts';

/** The file that says which pool this is. Whoever copies a pool's folder has to leave it out. */
export const MARKER = '.chrysalis-pool';
const MIB = 1_048_576;
/** What `stat` counts blocks in. */
const BLOCK = 512;

const read = async (file: string): Promise<string | undefined> => {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const id = PoolId.safeParse(text.trim());
  if (!id.success) throw new Error(`${file} names no pool: ${JSON.stringify(text.slice(0, 80))}`);
  return id.data;
};

/** Written beside and linked: of two hosts that come at once one makes it, and it is never seen half written. */
const identity: PoolKind['identity'] = async (directory, newId) => {
  await mkdir(directory, { recursive: true });
  const marker = join(directory, MARKER);
  const known = await read(marker);
  if (known !== undefined) return known;
  const mine = newId();
  const beside = `${marker}.${mine}`;
  try {
    const file = await open(beside, 'wx', 0o644);
    try {
      await file.writeFile(`${mine}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await link(beside, marker).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(beside, { force: true });
  }
  return (await read(marker))!;
};

/** By blocks, as files are sparse. One that goes meanwhile takes nothing. */
const room: PoolKind['room'] = async (directory) => {
  const { bavail, bsize } = await statfs(directory);
  let used = 0;
  for (const name of await readdir(directory)) {
    const found = await stat(join(directory, name)).catch(() => undefined);
    if (found?.isFile()) used += found.blocks * BLOCK;
  }
  return { usedMiB: Math.ceil(used / MIB), freeMiB: Math.floor((bavail * bsize) / MIB) };
};

/** A folder: of one host, or on a file system that several mount. */
export const folder: PoolKind = { kind: 'folder', identity, room };
