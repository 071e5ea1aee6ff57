import {
  HypervisorError,
  type HypervisorDriver,
  type MigrateOutcome,
  type MigrateRequest,
  type Suspended,
  type SuspendRequest,
} from '@chrysalis/hypervisor';
import { topologyHash, type Topology } from '@chrysalis/contracts';
import { bareTopology } from '@chrysalis/testing';

const topology = bareTopology();
const held = () => new HypervisorError('hypervisor.migration_held', 'nothing more to send');
export type Side = 'source' | 'target';
type Process = {
  state: 'running' | 'paused' | 'finish-migrate' | 'postmigrate' | 'inmigrate' | 'prepared' | 'halted' | 'gone' | 'none';
  role: 'runner' | 'incoming';
};

/**
 * Two QEMU processes and the stream between them, as facts/qemu.md describes them, so that the protocol can be tried against every
 * interleaving: they outlive their agents, a completed source is paused for good but `cont` works on it, a target that ends brings the
 * source back if it ends in time. Watches for the one thing that may never be: both running.
 */
export class PairModel {
  readonly processes: Record<Side, Process> = { source: { state: 'running', role: 'runner' }, target: { state: 'none', role: 'incoming' } };
  readonly breaches: string[] = [];
  /** The guest ran on the target: from then on an end of that process is an end of the guest. */
  ranOnTarget = false;
  /** Of a cold move: the target cannot start it. */
  refusesStart = false;
  /** What was to be done in the middle. */
  refusesPlugs = false;
  plugged = false;
  /** It has nothing more to be sent after the first pass. */
  idle = false;
  /** Nobody looks any more. */
  over = false;
  announced = false;
  /** Of a move by a file: what is in it, how often the source's guest went on, and how often it had in what the target took. */
  file: string | undefined;
  ran = 0;
  loaded: number | undefined;
  #written = 0;
  corrupt = false;
  /** Of a post-copy: what became of the memory that was left at the source. */
  rest: 'none' | 'switching' | 'sending' | 'cut' | 'whole' = 'none';
  /** So often the way is cut as it goes over. */
  cuts = 0;
  #left = 3;
  #listens = 0;
  #migration: Promise<MigrateOutcome> | undefined;
  #cancelled = false;

  constructor(private readonly pause: () => Promise<void>) {}

  set(side: Side, state: Process['state']): void {
    this.processes[side].state = state;
    if (side === 'source' && state === 'running') this.ran++;
    if (side === 'target' && state === 'running' && this.loaded !== undefined && this.loaded !== this.ran)
      this.breaches.push('older than the disks');
    if (side === 'target' && state === 'running') this.ranOnTarget = true;
    const { source, target } = this.processes;
    if (source.state === 'running' && target.state === 'running') this.breaches.push('both run');
  }

  /** The process ends by itself. */
  kill(side: Side): void {
    if (this.rest === 'switching' || this.rest === 'sending') this.rest = 'cut';
    if (!['none', 'prepared', 'halted'].includes(this.processes[side].state)) this.set(side, 'gone');
  }

  driver(side: Side): HypervisorDriver {
    const me = this.processes[side];
    const known = (vmId: string): Process => {
      if (me.state === 'none') throw new HypervisorError('hypervisor.vm_unknown', `no ${vmId}`);
      return me;
    };
    const driver: Partial<HypervisorDriver> = {
      list: () => (me.state === 'none' ? [] : ['vm-1']),
      status: async (vmId) => {
        const { state, role } = known(vmId);
        const migrating = side === 'source' && this.#migration !== undefined;
        return {
          vmId,
          role,
          state,
          running: state === 'running',
          migrating,
          topology: { disks: [] } as unknown as Topology,
          topologyHash: '',
        };
      },
      prepareTarget: async ({ cold }) => {
        if (me.state === 'none') this.set(side, cold ? 'prepared' : 'inmigrate');
        return { migrationAddress: 'tcp:target:1' };
      },
      migrate: async (vmId, request) => {
        if (known(vmId).state !== 'running') throw new HypervisorError('hypervisor.not_ready', me.state);
        if (this.#migration) throw new HypervisorError('hypervisor.migrating', 'in flight');
        this.#migration = this.#migrate(request).finally(() => (this.#migration = undefined));
        return this.#migration;
      },
      restOf: async (vmId) => {
        if (known(vmId).state === 'gone') throw new HypervisorError('hypervisor.qemu_exited', 'it ended');
        if (this.rest === 'sending' && side === 'source') this.#send();
        return { is: this.rest };
      },
      reopen: async (vmId) => {
        if (!['running', 'paused'].includes(known(vmId).state)) throw new HypervisorError('hypervisor.not_ready', me.state);
        if (this.rest === 'sending') this.rest = 'cut';
        return { migrationAddress: `tcp:target:${++this.#listens}` };
      },
      resend: async (vmId, address) => {
        if (known(vmId).state !== 'postmigrate' || this.rest !== 'cut') throw new HypervisorError('hypervisor.not_ready', me.state);
        if (address === `tcp:target:${this.#listens}` && ['running', 'paused'].includes(this.processes.target.state)) this.rest = 'sending';
      },
      cancelMigration: async () => {
        if (this.rest !== 'none') throw new HypervisorError('hypervisor.not_ready', 'it has gone');
        this.#cancelled = true;
        await this.#migration;
      },
      suspend: async (vmId, request) => {
        if (known(vmId).state !== 'running') throw new HypervisorError('hypervisor.not_ready', me.state);
        if (this.#migration) throw new HypervisorError('hypervisor.migrating', 'in flight');
        const suspending = this.#suspend(request).finally(() => (this.#migration = undefined));
        this.#migration = suspending;
        return suspending;
      },
      restore: async (vmId, { digest }) => {
        if (known(vmId).state === 'paused') return;
        if (me.state !== 'inmigrate') throw new HypervisorError('hypervisor.not_ready', me.state);
        await this.pause();
        if (this.file !== digest) throw new HypervisorError('hypervisor.save_corrupt', 'another');
        await this.pause();
        if ((me.state as string) !== 'inmigrate') throw new HypervisorError('hypervisor.qemu_exited', me.state);
        this.loaded = this.#written;
        this.set(side, 'paused');
      },
      dropState: async () => void (this.file = undefined),
      resume: async () => {
        if (me.state === 'running') return { resumedAtUs: Date.now() * 1000 };
        if (me.state === 'prepared' && this.refusesStart) throw new HypervisorError('hypervisor.not_ready', 'it does not start');
        if (me.state !== 'paused' && me.state !== 'prepared') throw new HypervisorError('hypervisor.not_ready', me.state);
        this.set(side, 'running');
        return { resumedAtUs: Date.now() * 1000 };
      },
      plug: async () => {
        if (me.state !== 'paused') throw new HypervisorError('hypervisor.not_ready', me.state);
        await this.pause();
        if (this.refusesPlugs) throw new HypervisorError('hypervisor.qmp_refused', 'no room');
        if (me.state !== 'paused') throw new HypervisorError('hypervisor.not_ready', me.state);
        this.plugged = true;
        return { topology, topologyHash: topologyHash(topology) };
      },
      announce: async () => {
        if (me.state !== 'running') throw new HypervisorError('hypervisor.not_ready', me.state);
        this.announced = true;
      },
      reclaim: async () => {
        if (this.rest !== 'none') throw new HypervisorError('hypervisor.not_ready', 'it has gone');
        if (me.state !== 'postmigrate' && me.state !== 'paused') throw new HypervisorError('hypervisor.not_ready', me.state);
        this.set(side, 'running');
        return { resumedAtUs: Date.now() * 1000 };
      },
      halt: async () => this.set(side, 'halted'),
      start: async () => {
        this.set(side, 'running');
        return { topology: { disks: [] } as unknown as Topology, topologyHash: '' };
      },
      destroy: async () => this.set(side, 'none'),
      deleteVolume: async () => undefined,
      onLifecycle: () => () => undefined,
    };
    return driver as HypervisorDriver;
  }

  async #suspend({ signal }: SuspendRequest): Promise<Suspended> {
    this.#cancelled = false;
    signal?.addEventListener('abort', () => (this.#cancelled = true));
    const { source } = this.processes;
    const stoppedAtUs = Date.now() * 1000;
    this.set('source', 'paused');
    for (const _ of ['written', 'synced']) {
      await this.pause();
      if ((source.state as string) === 'gone') throw new HypervisorError('hypervisor.qemu_exited', 'the source ended');
      if (!this.#cancelled) continue;
      this.set('source', 'running');
      return { outcome: 'failed', cause: new HypervisorError('hypervisor.migration_cancelled', 'cancelled'), running: true };
    }
    const digest = `sha256:${'5'.repeat(64)}`;
    this.file = this.corrupt ? 'another' : digest;
    this.#written = this.ran;
    source.state = 'postmigrate';
    const statistics = Promise.resolve({ totalMs: 1, qemuDowntimeMs: 1, transferredBytes: 1, iterations: 1 });
    return { outcome: 'completed', stoppedAtUs, completedAtUs: Date.now() * 1000, statistics, saved: { digest, bytes: 1 } };
  }

  #send(): void {
    if (this.cuts-- > 0) this.rest = 'cut';
    else if (--this.#left === 0) this.rest = 'whole';
  }

  /** Passes go on until it may; an idle guest has none to make. */
  async #mayGo(released: Promise<void>, fails: () => boolean): Promise<boolean> {
    let may = false;
    released.then(
      () => (may = true),
      () => undefined,
    );
    await this.pause();
    while (!may && !fails() && !this.idle && !this.over) await this.pause();
    return may;
  }

  async #migrate({ signal, released, postCopy }: MigrateRequest): Promise<MigrateOutcome> {
    this.#cancelled = false;
    signal?.addEventListener('abort', () => (this.#cancelled = true));
    const { source, target } = this.processes;
    const fails = (): boolean => {
      if (source.state === 'gone' && target.state === 'inmigrate') this.kill('target'); // its stream broke
      return this.#cancelled || target.state !== 'inmigrate';
    };
    const failed = (): MigrateOutcome => {
      if (source.state === 'gone') throw new HypervisorError('hypervisor.qemu_exited', 'the source ended');
      this.set('source', 'running');
      if (target.state === 'inmigrate') this.set('target', 'gone');
      return { outcome: 'failed', cause: new HypervisorError('hypervisor.migration_failed', 'the stream broke'), running: true };
    };
    await this.pause();
    if (fails()) return failed();
    if (released && !(await this.#mayGo(released, fails))) return this.#cancelled || !this.idle ? failed() : { ...failed(), cause: held() } as MigrateOutcome; // prettier-ignore
    if (fails()) return failed();
    this.set('source', 'finish-migrate');
    const stoppedAtUs = Date.now() * 1000;
    if (postCopy) this.rest = 'switching';
    await this.pause();
    // From here on it may fail yet where it never left; where it left, only its target can have it.
    if (fails()) {
      if (postCopy) this.rest = 'none';
      return failed();
    }
    this.set('target', 'paused');
    source.state = 'postmigrate';
    if (postCopy) this.rest = 'sending';
    await this.pause();
    if (source.state !== 'postmigrate') return failed();
    const statistics = Promise.resolve({ totalMs: 1, qemuDowntimeMs: 1, transferredBytes: 1, iterations: 1 });
    return { outcome: 'completed', stoppedAtUs, completedAtUs: Date.now() * 1000, statistics };
  }
}
