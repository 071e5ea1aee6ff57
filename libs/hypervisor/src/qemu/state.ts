import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Topology } from '@chrysalis/contracts';
import { identify, isAlive, kill } from './process.ts';
import type { ProcessId } from './process.ts';

/** What a host remembers of a VM: enough to find its process again, to describe it, and to take it down. */
export type VmRecord = {
  readonly v: 1;
  readonly vmId: string;
  readonly role: 'runner' | 'incoming';
  readonly topology: Topology;
  readonly topologyHash: string;
  readonly process?: ProcessId;
  /** How many CPUs this process has started in its life, those that it began with among them. */
  readonly cpuThreads?: number;
  readonly migrationAddress?: string;
  /** Its place is announced when somebody asks for that, and not before. */
  readonly quiet?: boolean;
  /** Where its source copies disks to. */
  readonly copyAddress?: string;
  /** A target that nothing comes to: it has no process until it is started. */
  readonly cold?: boolean;
  /** Its state went to another host: whose disks these are is not ours to say any more. */
  readonly givenAway?: boolean;
  /** Its state is being written to a file: if it stands still, it is to run on here. On disk before it can stand still, gone before a migration begins. */
  readonly saving?: boolean;
  /** It was told to be off since then, host's clock in microseconds; its process is gone, or about to be. */
  readonly haltedAtUs?: number;
  /** When this VM began to run here after a migration; QEMU's clock. */
  readonly resumedAtUs?: number;
};

/** The longest path a unix socket can have is 107 bytes. */
const MAX_SOCKET_PATH = 107;

/** In a socket directory outside of the state directory: whose it is. */
const OWNER = 'of';

/** `<state dir>/vms/<vm id>/`: vm.json, qemu.pid, words (QEMU's stderr), console.log, and the sockets. */
export class VmFiles {
  readonly dir: string;
  readonly record: string;
  readonly pidFile: string;
  readonly words: string;
  readonly console: string;
  private readonly sockets: string;

  constructor(stateDir: string, vmId: string) {
    this.dir = join(stateDir, 'vms', encodeURIComponent(vmId));
    this.record = join(this.dir, 'vm.json');
    this.pidFile = join(this.dir, 'qemu.pid');
    this.words = join(this.dir, 'words');
    this.console = join(this.dir, 'console.log');
    const roomForName = this.dir.length + 48 <= MAX_SOCKET_PATH;
    this.sockets = roomForName ? this.dir : join(tmpdir(), `chy-${createHash('sha256').update(this.dir).digest('hex').slice(0, 16)}`);
  }

  make(): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    mkdirSync(this.sockets, { recursive: true, mode: 0o700 });
    if (this.sockets !== this.dir) writeFileSync(join(this.sockets, OWNER), this.dir, { mode: 0o600 });
  }

  /** Names of up to 40 characters fit as they are, longer ones by their hash. */
  socket(name: string): string {
    const short = name.length <= 40 ? name : createHash('sha256').update(name).digest('hex').slice(0, 40);
    return join(this.sockets, `${short}.sock`);
  }

  async remove(): Promise<void> {
    await rm(this.sockets, { recursive: true, force: true });
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Whole or not at all, and on the disk when this returns. */
export const writeWhole = async (path: string, text: string): Promise<void> => {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
};
export const writeRecord = (files: VmFiles, record: VmRecord): Promise<void> => writeWhole(files.record, JSON.stringify(record));

export const readRecord = (files: VmFiles): VmRecord | undefined => {
  try {
    return JSON.parse(readFileSync(files.record, 'utf8')) as VmRecord;
  } catch {
    return undefined;
  }
};

/** The record's process, or, when we died between the start and the record, the one that QEMU's pid file names. */
export const processOf = (files: VmFiles, record: VmRecord): ProcessId | undefined => {
  if (record.process) return isAlive(record.process) ? record.process : undefined;
  try {
    const id = identify(Number(readFileSync(files.pidFile, 'utf8').trim()));
    const ours = id && readFileSync(`/proc/${id.pid}/cmdline`, 'utf8').includes(files.pidFile);
    return ours ? id : undefined;
  } catch {
    return undefined;
  }
};

export const recordedVms = (stateDir: string): string[] => {
  try {
    return readdirSync(join(stateDir, 'vms')).map((name) => decodeURIComponent(basename(name)));
  } catch {
    return [];
  }
};

const TOOL_LIFE_MS = 10 * 60_000;
/** What killed host agents left in the system's temporary directory: sockets of VMs that are no more, and old probes. */
export const sweepTemporary = (): void => {
  for (const name of readdirSync(tmpdir()).filter((n) => n.startsWith('chy-'))) {
    const path = join(tmpdir(), name);
    const ownerless = /^chy-[0-9a-f]{16}$/.test(name) && !existsSync(ownerOf(path));
    const old =
      /^chy-(tool|probe)-/.test(name) && Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > TOOL_LIFE_MS;
    if (ownerless || old) rmSync(path, { recursive: true, force: true });
  }
};
const ownerOf = (sockets: string): string => {
  try {
    return readFileSync(join(sockets, OWNER), 'utf8');
  } catch {
    // Being made, by someone else, just now: left for the next sweep.
    return sockets;
  }
};

/** Ends every QEMU of a state directory and removes what it left there: for a demo's end, and after a kill -9. Volumes stay. */
export const sweepStateDir = async (stateDir: string): Promise<{ killed: number }> => {
  let killed = 0;
  for (const vmId of recordedVms(stateDir)) {
    const files = new VmFiles(stateDir, vmId);
    const record = readRecord(files) ?? { v: 1 as const, vmId, role: 'runner' as const, topology: undefined!, topologyHash: '' };
    const process = processOf(files, record);
    if (process && (await kill(process))) killed++;
    await files.remove();
  }
  sweepTemporary();
  return { killed };
};
