import type { CopyDisk } from '@chrysalis/hypervisor';
import { TaskFailure } from '../execution/task-failure.ts';
import { qemuImg } from './make.ts';
import { findByDigest } from './store.ts';

/** Of 100 GiB that are written at 150 MiB/s. The task's own deadline mostly ends it before. */
const COPY_MS = 720_000;

/**
 * A root disk is a whole copy of its image, in one file that needs no other: it outlives the image, and moves with its VM to hosts that
 * never had that. qemu-img leaves out what is blank.
 */
export const copyRootDisk =
  (store: string): CopyDisk =>
  async ({ name, version, digest }, { path, sizeMiB, signal }) => {
    const found = await findByDigest(store, digest);
    if (!found) throw new TaskFailure('host.image_missing', `${name}@${version} (${digest}) is not in this host's image store`);
    const { format } = found.manifest;
    if (format === 'vm-state') throw new TaskFailure('host.format_unsupported', `${name}@${version} is a save file, and no disk`);
    const from = { file: found.file, format };
    await qemuImg({ to: path, format: 'qcow2', sizeMiB, from, signal: signal ?? AbortSignal.timeout(COPY_MS), timeoutMs: COPY_MS });
  };
