import { createHash } from 'node:crypto';
import { createReadStream, type Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { agentVolume, isAgentVolume, isStateFile, type Trace } from '@chrysalis/contracts';
import { ownerOfFile, young } from '../../traces.ts';
import type { Pool } from '../volumes.ts';
import { vmOfFolder } from './processes.ts';

const BLOCK = 512;
/** So many of a pool that are not ours are named. */
const MOST_OTHERS = 50;

const there = (path: string): Promise<Stats | undefined> => lstat(path).catch(() => undefined);
const namesIn = (directory: string): Promise<string[]> => readdir(directory).catch(() => []);
/** Of a file that stays the same one while it is written to. */
const printOf = ({ ino, birthtimeMs }: Stats): string => `${ino}-${Math.round(birthtimeMs)}`;

export const folderTraces = async (stateDir: string, minAgeMs: number, only?: string): Promise<Trace[]> => {
  const vms = join(stateDir, 'vms');
  const names = (await namesIn(vms)).filter((name) => only === undefined || (vmOfFolder(name) ?? name) === only);
  const found = await Promise.all(
    names.map(async (name): Promise<Trace[]> => {
      const dir = join(vms, name);
      const stats = await there(dir);
      if (!stats) return [];
      const vmId = vmOfFolder(name);
      const trace = { kind: 'folder', id: vmId ?? name, bytes: 0, print: printOf(stats) } as const;
      // A link leads to what is not ours, and what is not called as a VM is is none of ours.
      if (!stats.isDirectory() || vmId === undefined) return [trace];
      const within = await Promise.all((await namesIn(dir)).map((file) => there(join(dir, file))));
      const bytes = within.reduce((sum, s) => sum + (s?.isFile() ? s.blocks * BLOCK : 0), 0);
      return [{ ...trace, vmId, bytes, ...young(Date.now() - stats.birthtimeMs, minAgeMs) }];
    }),
  );
  return found.flat();
};

/** A file in a pool is ours where its name is made of an id; a link, or a file that has other names beside, is left to whoever made it. */
export const diskTrace = async (pool: string, { directory, shared }: Pool, file: string, minAgeMs: number): Promise<Trace | undefined> => {
  const stats = await there(join(directory, file));
  if (!stats || stats.isDirectory()) return undefined;
  const id = `${pool}/${file}`.slice(0, 400);
  const trace = { kind: 'disk', id, pool, shared, bytes: stats.blocks * BLOCK, print: printOf(stats) } as const;
  if (!stats.isFile() || stats.nlink !== 1) return trace;
  if (isAgentVolume(file)) return (await isPackage(join(directory, file), file)) ? { ...trace, agentPackage: true } : trace;
  const owner = ownerOfFile(file);
  const saved = isStateFile(file) ? { savedState: true as const } : {};
  return owner ? { ...trace, ...owner, ...saved, ...young(Date.now() - stats.birthtimeMs, minAgeMs) } : trace;
};

/** Read to its end: there is one of each version of the agent, and a file that has the name alone is nobody's that we know. */
const isPackage = async (path: string, file: string): Promise<boolean> => {
  const hash = createHash('sha256');
  const read = await pipeline(createReadStream(path), hash).then(
    () => true,
    () => false,
  );
  return read && agentVolume(`sha256:${hash.digest('hex')}`) === file;
};

export const diskTraces = async (pools: Readonly<Record<string, Pool>>, minAgeMs: number): Promise<Trace[]> => {
  const of = await Promise.all(
    Object.entries(pools).map(async ([name, pool]) => {
      const files = (await namesIn(pool.directory)).filter((file) => !file.startsWith('.'));
      const found = (await Promise.all(files.map((file) => diskTrace(name, pool, file, minAgeMs)))).filter((t) => t !== undefined);
      const ours = found.filter((t) => t.vmId !== undefined || t.volumeId !== undefined || t.agentPackage);
      return [...ours, ...found.filter((t) => !ours.includes(t)).slice(0, MOST_OTHERS)];
    }),
  );
  return of.flat();
};
