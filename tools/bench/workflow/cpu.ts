import { readFileSync } from 'node:fs';

/** What a process and its children have used so far, with those that have ended, in seconds. Linux. */
export const cpuSecondsOf = (pid: number): number => {
  const ticks = (own: number): number => {
    const fields = stat(own);
    const children = childrenOf(own);
    // utime, stime, and of the children that were waited for cutime and cstime
    return fields.slice(11, 15).reduce((sum, n) => sum + Number(n), 0) + children.reduce((sum, child) => sum + ticks(child), 0);
  };
  return ticks(pid) / TICKS_PER_SECOND;
};
const TICKS_PER_SECOND = 100;

/** From the third field on: the name before it may hold anything. */
const stat = (pid: number): string[] => {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
};

const childrenOf = (pid: number): number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
};
