import { setTimeout as sleep } from 'node:timers/promises';
import { memoryMiBOf } from '@chrysalis/contracts';
import type { DiskCopies, MigrateOutcome, MigrateRequest, MigrationProgress } from '../../driver.ts';
import { HypervisorError, hasCode } from '../../errors.ts';
import type { QmpClient } from '../../qmp.ts';
import { StallDetector, stallMessage } from '../../stall.ts';
import { migrate, setCapabilities } from '../migration.ts';
import type { Vm } from '../vm.ts';
import { addSecret, copyName, dropNodes, dropSecret, isCopy, partOf } from './names.ts';

const MiB = 1024 * 1024;
const LOOK_MS = 200;
/** A job that is told to end at once does; a target that does not answer is no reason to wait for ever. */
const ABANDON_MS = 10_000;
const FINISH_MS = 60_000;

type Job = { readonly device: string; readonly len: number; readonly offset: number; readonly ready: boolean };
type Request = MigrateRequest & { readonly copies: DiskCopies & { readonly address: string } };

/**
 * A migration whose disks are not where the other host sees them. First they are copied while the guest writes on, each write to both sides
 * (`write-blocking`), so that the copy ends however fast the guest writes; then memory and devices move as ever. When the guest stands still
 * for its last pages the copies are ended at one moment, whole, and only then does the stream go on. Until the fence this host's disks are the true ones: whatever
 * fails, the copies are dropped, and the guest has lost nothing.
 */
export const copying = async (vm: Vm, request: Request): Promise<MigrateOutcome> => {
  const cancel = new AbortController();
  vm.endCopy = () => cancel.abort();
  const signal = request.signal ? AbortSignal.any([request.signal, cancel.signal]) : cancel.signal;
  const copy = new Copy(vm, { ...request, signal });
  try {
    const outcome = await copy.moved();
    // Nothing waits for this: the fence comes first.
    if (outcome.outcome === 'completed') void copy.end();
    else await copy.end();
    return outcome;
  } catch (error) {
    await copy.end();
    throw error;
  } finally {
    vm.endCopy = undefined;
  }
};

const queryRunning = async (qmp: QmpClient): Promise<boolean> => (await qmp.execute<{ running: boolean }>('query-status')).running;

class Copy {
  failure: HypervisorError | undefined;
  private readonly vm: Vm;
  private readonly request: Request;
  private readonly off: () => void;
  private ending = false;
  private copied = 0;

  constructor(vm: Vm, request: Request) {
    this.vm = vm;
    this.request = request;
    this.off = vm.qmp.on(({ event, data }) => {
      if (/^BLOCK_JOB_(COMPLETED|CANCELLED)$/.test(event) && isCopy(String(data['device'])) && !this.ending)
        this.failed(data['error'] === undefined ? 'its job ended by itself' : String(data['error']));
      if (event === 'MIGRATION' && data['status'] === 'pre-switchover') void this.switchOver();
    });
  }

  async moved(): Promise<MigrateOutcome> {
    const running = await queryRunning(this.vm.qmp);
    const refused = await this.made();
    if (refused) return { outcome: 'failed', cause: refused, running };
    const outcome = await migrate(this.vm, { ...this.request, onProgress: this.beside }, (qmp) =>
      setCapabilities(qmp, false, { pauses: true, streams: this.request.streams, throttle: this.request.throttle }),
    );
    if (outcome.outcome === 'completed') return this.counted(outcome);
    return this.failure ? { ...outcome, cause: this.failure } : outcome;
  }

  private failed(why: string): void {
    this.failure ??= new HypervisorError('hypervisor.disk_copy_failed', `A disk could not be copied: ${why}`);
    void this.vm.qmp.execute('migrate_cancel').catch(() => undefined);
  }

  /** Every disk is the same at both ends, and stays so. Or why not. */
  private async made(): Promise<HypervisorError | undefined> {
    if (this.request.signal?.aborted) return cancelled('before it began');
    try {
      await abandonCopies(this.vm);
      await this.start();
      return await this.same();
    } catch (error) {
      if (!hasCode(error, 'hypervisor.qmp_refused', 'hypervisor.volume_conflict', 'hypervisor.volume_missing')) throw error;
      return new HypervisorError('hypervisor.disk_copy_failed', `A disk could not be copied: ${error.message}`, error.detail);
    }
  }

  private async start(): Promise<void> {
    const { vm, request: { copies: { volumes, secret, address }, limits } } = this; // prettier-ignore
    await addSecret(vm, secret, 'client');
    const at = /^tcp:\[?([^\]]+)\]?:([0-9]+)$/.exec(address);
    if (!at) throw new HypervisorError('hypervisor.qmp_refused', `${address} is no address of disks`);
    const server = { type: 'inet', host: at[1], port: at[2] };
    const speed = Math.max(MiB, Math.floor((limits.maxBandwidthMiBps * MiB) / volumes.length));
    for (const [nr, volume] of volumes.entries()) {
      const name = copyName(nr);
      const { node } = partOf(vm.topology, volume);
      await vm.qmp.execute('blockdev-add', { driver: 'nbd', 'node-name': name, server, export: volume, 'tls-creds': 'copy-tls' });
      await this.assertSize(node, name, volume);
      const how = { sync: 'full', 'copy-mode': 'write-blocking', 'on-source-error': 'report', 'on-target-error': 'report' };
      await vm.qmp.execute('blockdev-mirror', { 'job-id': name, device: node, target: name, speed, ...how });
    }
  }

  /** QEMU itself copies into what is larger, and says nothing. */
  private async assertSize(node: string, there: string, volume: string): Promise<void> {
    type Node = { 'node-name'?: string; image: { 'virtual-size': number } };
    const nodes = await this.vm.qmp.execute<Node[]>('query-named-block-nodes', { flat: true });
    const [bytes, thereBytes] = [node, there].map((name) => nodes.find((n) => n['node-name'] === name)?.image['virtual-size']);
    if (bytes === thereBytes) return;
    const detail = { bytes, thereBytes };
    throw new HypervisorError('hypervisor.volume_conflict', `${volume} has ${bytes} bytes here and ${thereBytes} at the target`, detail);
  }

  private async same(): Promise<HypervisorError | undefined> {
    const stall = new StallDetector(this.request.stallMs);
    for (;;) {
      const jobs = (await jobsOf(this.vm.qmp)).filter((j) => isCopy(j.device));
      if (this.failure) return this.failure;
      if (this.request.signal?.aborted) return cancelled(`after ${Math.round(this.copied / MiB)} MiB of the disks`);
      const all = jobs.length === this.request.copies.volumes.length;
      const [len, offset] = [sum(jobs, 'len'), sum(jobs, 'offset')];
      this.copied = Math.max(this.copied, offset);
      this.tell(len, offset);
      if (all && jobs.every((j) => j.ready)) return undefined;
      const stalled = stall.see({ remaining: len - offset, transferred: offset, pass: 0 }, performance.now());
      if (stalled) return new HypervisorError('hypervisor.migration_stalled', `${stallMessage(stalled)} of the disks`, { len, offset });
      await sleep(this.request.progressEveryMs ?? LOOK_MS);
    }
  }

  /** The memory is still to come. */
  private tell(len: number, offset: number): void {
    const memory = memoryMiBOf(this.vm.topology) * MiB;
    this.request.onProgress?.({
      phase: 'disks',
      bytesTotal: len + memory,
      bytesRemaining: len - offset + memory,
      bytesTransferred: this.copied,
      dirtyPagesPerSecond: 0,
      mbps: 0,
      at: new Date().toISOString(),
    });
  }

  private readonly beside = (p: MigrationProgress): void =>
    this.request.onProgress?.({ ...p, bytesTotal: p.bytesTotal + this.copied, bytesTransferred: p.bytesTransferred + this.copied });

  /** The guest stands still. Where a copy does not end whole the migration is called off, and the guest goes on here. */
  private async switchOver(): Promise<void> {
    const { qmp } = this.vm;
    const jobs = this.request.copies.volumes.map((_, nr) => copyName(nr));
    const ends = jobs.map((name) =>
      qmp.waitFor(['BLOCK_JOB_COMPLETED', 'BLOCK_JOB_CANCELLED'], (e) => e.data['device'] === name, FINISH_MS),
    );
    try {
      if (this.failure) return;
      this.ending = true;
      await Promise.all(jobs.map((device) => qmp.execute('block-job-cancel', { device })));
      for (const { event, data } of await Promise.all(ends.map((end) => end.promise)))
        if (event !== 'BLOCK_JOB_COMPLETED' || data['error'] !== undefined) throw new Error(String(data['error'] ?? 'it was cancelled'));
      await qmp.execute('migrate-continue', { state: 'pre-switchover' });
    } catch (error) {
      this.failed((error as Error).message);
    } finally {
      for (const end of ends) end.cancel();
    }
  }

  private counted(outcome: Extract<MigrateOutcome, { outcome: 'completed' }>): MigrateOutcome {
    const statistics = outcome.statistics.then((s) => ({ ...s, transferredBytes: s.transferredBytes + this.copied }));
    return { ...outcome, statistics };
  }

  async end(): Promise<void> {
    this.ending = true;
    this.off();
    await abandonCopies(this.vm).catch(() => undefined);
  }
}

const sum = (jobs: readonly Job[], what: 'len' | 'offset'): number => jobs.reduce((total, j) => total + j[what], 0);
const cancelled = (when: string): HypervisorError => new HypervisorError('hypervisor.migration_cancelled', `Cancelled ${when}`);
const jobsOf = (qmp: QmpClient): Promise<Job[]> => qmp.execute<Job[]>('query-block-jobs');

/**
 * What is left of copies, of an earlier life of the driver too, is taken away. Without `yank`: in QEMU 7.2 that corrupted the heap with the
 * guest's writes on their way (one cancel of three; without it none of ten). So a target that falls silent holds the job, and the guest's
 * writes, until it is back or TCP gives it up; what is left then goes with the next look.
 */
export const abandonCopies = async (vm: Vm): Promise<void> => {
  const { qmp } = vm;
  const left = async (): Promise<string[]> => (await jobsOf(qmp)).map((j) => j.device).filter(isCopy);
  const until = performance.now() + ABANDON_MS;
  for (const device of await left()) await qmp.execute('block-job-cancel', { device, force: true }).catch(() => undefined);
  while ((await left()).length > 0 && performance.now() < until) await sleep(20);
  await dropNodes(qmp);
  await dropSecret(vm);
};
