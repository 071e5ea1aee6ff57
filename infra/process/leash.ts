import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/**
 * A QEMU outlives the host agent that started it, by design; it may not outlive the demo, benchmark or test that the host agent is there for.
 * So those carry a leash: an environment variable that names them, by pid and start time, which every process below them inherits, however
 * deep and detached. The kernel keeps it: nothing is written down, and nothing can be stale.
 *
 * Whatever ends the holder, kill -9 too: a shell in a session of its own sees its pipe close, ends the QEMUs at once, and after a while, in
 * which services and databases end in order by themselves, what else is on the leash. Should the shell be killed as well, `sweepLeashes` of
 * the next run does it.
 */
const LEASH = 'CHRYSALIS_LEASH';

const script = `
read -r _
round=0
while [ $round -lt 150 ]; do
  pids=$(grep -lsxzF "${LEASH}=$1" /proc/[0-9]*/environ | cut -d/ -f3)
  [ -n "$pids" ] || exit 0
  for pid in $pids; do
    read -r name < "/proc/$pid/comm" || continue
    case $name in
      qemu-*) kill -s KILL "$pid" ;;
      *) [ $round -lt 75 ] || kill -s KILL "$pid" ;;
    esac
  done
  round=$((round + 1))
  sleep 0.2
done`;

let held: string | undefined;

/** Everything that this process starts from here on ends with it. Twice is once. */
export const leash = (): void => {
  if (held !== undefined) return;
  held = `${process.pid}.${startOf(process.pid)!.at}`;
  process.env[LEASH] = held;
  const shell = spawn('/bin/sh', ['-c', script, 'sh', held], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
    env: { PATH: process.env['PATH'] }, // not on the leash itself
  });
  shell.on('error', () => undefined); // then the next run sweeps
  shell.stdin.on('error', () => undefined);
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
};

/** Ends what is on the leash of a process that is no more. Says how many that were. */
export const sweepLeashes = (): number => {
  const left = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isLeft(Number(pid)));
  for (const pid of left)
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // gone already
    }
  return left.length;
};

const isLeft = (pid: number): boolean => {
  const holder = holderOf(pid);
  if (!holder) return false;
  const now = startOf(holder.pid);
  return now === undefined || now.ended || now.at !== holder.at;
};

/** The process that has this one on its leash. */
const holderOf = (pid: number): { readonly pid: number; readonly at: string } | undefined => {
  try {
    const named = readFileSync(`/proc/${pid}/environ`, 'latin1')
      .split('\0')
      .find((v) => v.startsWith(`${LEASH}=`));
    const [, holder, at] = /=(\d+)\.(\d+)$/.exec(named ?? '') ?? [];
    return holder === undefined || at === undefined ? undefined : { pid: Number(holder), at };
  } catch {
    return undefined; // ended, or another account's
  }
};

const startOf = (pid: number): { readonly at: string; readonly ended: boolean } | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { at: fields[19]!, ended: fields[0] === 'Z' || fields[0] === 'X' };
  } catch {
    return undefined;
  }
};
