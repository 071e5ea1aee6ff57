import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Topology } from '@chrysalis/contracts';
import type { Happening } from '../lifecycle.ts';
import type { SimulatedRest } from './post-copy.ts';

/** What a guest keeps of its own: it moves along with the VM. */
export type GuestState = {
  readonly bootId: string;
  readonly bootedAtMs: number;
  onlineCpus: number;
  onlineMiB: number;
  /** Size of the file system on each disk that has one. */
  fileSystems: Record<string, number>;
  /** Serial ports that something in it opened, and in which boot. */
  listening?: Record<string, string>;
  /** That it was told to carry beside its NICs' own, and in which boot. */
  addresses?: { readonly boot: string; readonly all: readonly string[] };
  /** How fast it writes to its memory. */
  dirtyMiBps: number;
  /** What it answers when asked to let a device go. */
  unplug: 'agrees' | 'refuses' | 'silent';
  /** What it does when its power button is pressed, or its own agent is asked; it goes off unless told. */
  power?: 'goes-off' | 'ignores';
};

/** A simulated VM is plain data: it can be written to a file and sent to another host. */
export type SimulatedVm = {
  readonly vmId: string;
  role: 'runner' | 'incoming';
  state: 'running' | 'paused' | 'inmigrate' | 'prepared' | 'postmigrate' | 'io-error' | 'guest-panicked' | 'gone';
  /** The last that changed what it does: also of one that is gone. */
  happened?: Happening;
  topology: Topology;
  topologyHash: string;
  guest: GuestState | undefined;
  migrationAddress?: string;
  /** Its source copies disks to it. */
  copies?: boolean;
  resumedAtUs?: number;
  /** Off as it was told. */
  halted?: boolean;
  /** Stands still for a save: it is to run on here. */
  saving?: boolean;
  /** A target that nothing comes to: `resume` starts it. */
  cold?: boolean;
  rest?: SimulatedRest;
  console: string;
  /** The move whose source told what the console begins with. */
  consoleCameBy?: string;
};

/** Where a host's VMs are while no driver holds them: in memory, or with a directory also across processes. */
export class SimulatedStore {
  readonly vms = new Map<string, SimulatedVm>();
  private readonly directory: string | undefined;

  constructor(directory?: string) {
    this.directory = directory;
    if (directory === undefined) return;
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(directory).filter((f) => f.endsWith('.json'))) {
      const vm = JSON.parse(readFileSync(join(directory, name), 'utf8')) as SimulatedVm;
      this.vms.set(vm.vmId, vm);
    }
  }

  save(vm: SimulatedVm): void {
    this.vms.set(vm.vmId, vm);
    if (this.directory === undefined) return;
    const file = this.file(vm.vmId);
    writeFileSync(`${file}.new`, JSON.stringify(vm));
    renameSync(`${file}.new`, file);
  }

  delete(vmId: string): void {
    this.vms.delete(vmId);
    if (this.directory !== undefined) rmSync(this.file(vmId), { force: true });
  }

  private file(vmId: string): string {
    return join(this.directory!, `${encodeURIComponent(vmId)}.json`);
  }
}
