import { mkdir, readdir, rmdir } from 'node:fs/promises';
import type { Guest } from '../guest/guest.ts';
import { poll } from '../guest/guest.ts';

const mountPoint = 'sys/fs/cgroup';
const wanted = ['pids', 'memory', 'cpu'];

/** A control group (v2) around one script: the kernel holds the tree together, whatever its processes do. */
export type ScriptGroup = Readonly<{
  add: (pid: number) => Promise<boolean>;
  kill: () => Promise<void>;
  remove: () => Promise<void>;
}>;

/** What this agent switched on, so that it can be switched off when the agent leaves. */
const enabled = new Set<string>();

export const makeScriptGroup = async (guest: Guest, id: string): Promise<ScriptGroup | undefined> => {
  const available = (await guest.read(`${mountPoint}/cgroup.controllers`))?.split(' ');
  if (!available) return undefined;
  const inUse = ((await guest.read(`${mountPoint}/cgroup.subtree_control`)) ?? '').split(' ');
  for (const c of wanted.filter((w) => available.includes(w) && !inUse.includes(w)))
    if (!(await guest.write(`${mountPoint}/cgroup.subtree_control`, `+${c}`))) enabled.add(c);

  const dir = `${mountPoint}/chrysalis-script-${id}`;
  try {
    await mkdir(guest.path(dir));
  } catch {
    return undefined; // read-only, or not ours to change
  }
  const total = Number(/^MemTotal:\s+(\d+)/m.exec((await guest.read('proc/meminfo')) ?? '')?.[1] ?? 0) * 1024;
  await guest.write(`${dir}/pids.max`, '64');
  await guest.write(`${dir}/memory.max`, String(Math.max(32 << 20, Math.min(512 << 20, Math.floor(total / 4)))));
  await guest.write(`${dir}/memory.swap.max`, '0');
  await guest.write(`${dir}/cpu.weight`, '10'); // of 100: the guest's own service comes first
  return {
    add: async (pid) => (await guest.write(`${dir}/cgroup.procs`, String(pid))) === undefined,
    kill: () => killGroup(guest, dir),
    remove: async () => {
      await killGroup(guest, dir);
      await poll(
        () =>
          rmdir(guest.path(dir)).then(
            () => true,
            (e: NodeJS.ErrnoException) => (e.code === 'ENOENT' ? true : undefined),
          ),
        { deadlineMs: 2_000, everyMs: 5 },
      );
    },
  };
};

const killGroup = async (guest: Guest, dir: string): Promise<void> => {
  if ((await guest.write(`${dir}/cgroup.kill`, '1')) === undefined) return;
  await guest.write(`${dir}/cgroup.freeze`, '1'); // before Linux 5.14: stop them first, or a fork bomb outruns the loop
  for (const pid of ((await guest.read(`${dir}/cgroup.procs`)) ?? '').split('\n').filter(Boolean)) killQuietly(Number(pid));
  await guest.write(`${dir}/cgroup.freeze`, '0');
};

export const killQuietly = (pid: number, signal: NodeJS.Signals = 'SIGKILL'): void => {
  try {
    process.kill(pid, signal);
  } catch {
    // it is gone
  }
};

/** Leaves the guest's control groups as they were. */
export const restoreCgroups = async (guest: Guest): Promise<void> => {
  for (const name of (await readdir(guest.path(mountPoint)).catch(() => [])).filter((n) => n.startsWith('chrysalis-script-'))) {
    await killGroup(guest, `${mountPoint}/${name}`);
    await poll(
      () =>
        rmdir(guest.path(`${mountPoint}/${name}`)).then(
          () => true,
          () => undefined,
        ),
      { deadlineMs: 1_000, everyMs: 5 },
    );
  }
  for (const c of enabled) await guest.write(`${mountPoint}/cgroup.subtree_control`, `-${c}`);
  enabled.clear();
};
