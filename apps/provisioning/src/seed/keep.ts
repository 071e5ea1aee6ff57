import { randomBytes } from 'node:crypto';
import { ProblemError } from '@chrysalis/service-kit';
import type { KeepSeed } from '../create-vm.ts';
import type { ImageFiles } from '../images/files.ts';
import { seedDisk } from './seed.ts';

/**
 * In the depot, where it goes after a day: a host has its VM's by then. What is kept of a request that fails afterwards goes with it. A dry
 * run makes it and keeps nothing.
 */
export const keepSeed =
  (files: ImageFiles | undefined, dryRun: boolean): KeepSeed =>
  async (of) => {
    if (!files) throw ProblemError.of({ code: 'image-file.no_depot' });
    const disk = made({ ...of, salt: randomBytes(32) });
    return { digest: await files.keep(disk, dryRun), bytes: disk.length };
  };

const made = (of: Parameters<typeof seedDisk>[0]): Buffer => {
  try {
    return seedDisk(of);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw ProblemError.of({ code: 'seed.invalid', message: error.message, path: 'seed' });
  }
};
