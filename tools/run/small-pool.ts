import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/** A file system of its own, of so much memory, that fills as a disk does; before the hosts that are to see it begin. */
export const mountSmall = (directory: string, sizeMiB: number): void => {
  mkdirSync(directory, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m,mode=0700`, 'chrysalis-pool', directory]);
};

/** Also of a run that was killed; where there is none, nothing is to be done. */
export const unmountSmall = (directory: string): void => {
  try {
    execFileSync('umount', ['-l', directory], { stdio: 'ignore' });
  } catch {
    // it is not mounted
  }
};
