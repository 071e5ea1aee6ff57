import type { CopyDisk } from '@chrysalis/hypervisor';
import { TaskFailure } from '../execution/task-failure.ts';
import { qemuImg, type Format } from './make.ts';
import { findByDigest } from './store.ts';

/** Of 100 GiB that are written at 150 MiB/s. The task's own deadline mostly ends it before. */
const COPY_MS = 720_000;

type Source = { readonly file: string; readonly format: Format };
const sourceOf = async (store: string, from: Parameters<CopyDisk>[0]): Promise<Source> => {
  if ('qcow2' in from) return { file: from.qcow2, format: 'qcow2' };
  const { name, version, digest } = from;
  const found = await findByDigest(store, digest);
  if (!found) throw new TaskFailure('host.image_missing', `${name}@${version} (${digest}) is not in this host's image store`);
  const { format } = found.manifest;
  if (format === 'vm-state') throw new TaskFailure('host.format_unsupported', `${name}@${version} is a save file, and no disk`);
  return { file: found.file, format };
};

/**
 * A root disk, or a volume that is made of something, is a whole copy, in one file that needs no other: it outlives what it was made of, and
 * moves with its VM to hosts that never had that. qemu-img streams it, and leaves out what is blank unless the file is made in full.
 */
export const copyRootDisk =
  (store: string): CopyDisk =>
  async (from, { path, sizeMiB, signal = AbortSignal.timeout(COPY_MS), full = false, compared = false }) => {
    const source = await sourceOf(store, from);
    await qemuImg({ to: path, format: 'qcow2', sizeMiB, from: source, full, compared, signal, timeoutMs: COPY_MS });
  };
