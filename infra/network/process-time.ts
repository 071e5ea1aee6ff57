import { readFileSync } from 'node:fs';

/** Field 22 of /proc/<pid>/stat, in ticks since the boot; with the pid it names one process for ever (until a reboot). */
export const startTimeOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
};
