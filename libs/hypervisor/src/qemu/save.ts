import { setTimeout as sleep } from 'node:timers/promises';
import { memoryMiBOf } from '@chrysalis/contracts';
import type { MigrateOutcome, Saved, SaveRequest } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import { continueVm } from './incoming.ts';
import { FLYING, migrate, queryStatus, setSaveCapabilities } from './migration.ts';
import type { MigrationInfo } from './migration-info.ts';
import { SaveSink } from './save-sink.ts';
import type { Vm } from './vm.ts';

const MiB = 1024 * 1024;
/** As fast as the disk takes it. */
const UNBOUNDED_MIBPS = 1024 * 1024;
const STALL_MS = 30_000;

/**
 * A migration to a socket of ours, which is written to a file. The guest runs meanwhile and stands still for the rest only; when the
 * stream breaks, by a full disk, a deadline, or the end of this process, QEMU itself lets the guest run on. What remains is the moment
 * between QEMU's `completed` and our `cont`: for that it is on disk that a save is under way.
 */
export const saveState = async (vm: Vm, request: SaveRequest): Promise<Saved> => {
  const before = await queryStatus(vm.qmp);
  if (vm.record.role !== 'runner' || !before?.running)
    throw new HypervisorError('hypervisor.not_ready', `A VM in state ${before?.status} is not saved`, { state: before?.status });
  // Beyond that a guest that writes faster than the disk would fill it.
  const maxBytes = (2 * memoryMiBOf(vm.topology) + 64) * MiB;
  const sink = await SaveSink.open(vm.files.socket('save'), request.file, maxBytes);
  const limits = new Limits(vm, request, sink);
  try {
    await vm.save({ saving: true });
    const outcome = await stream(vm, request, sink);
    if (outcome.outcome === 'failed') throw limits.reason ?? (await sink.failure()) ?? outcome.cause;
    const resumedAtUs = await continueSaved(vm);
    const bytes = await sink.written(limits.left()).catch((error: unknown) => Promise.reject(limits.reason ?? (error as Error)));
    if (limits.reason) throw limits.reason; // it came too late, and whole all the same
    return { ...vm.shaped, stoppedAtUs: outcome.stoppedAtUs, resumedAtUs, bytes };
  } finally {
    limits.end();
    sink.close();
    if (vm.alive && vm.record.saving) await continueSaved(vm);
  }
};

const stream = (vm: Vm, { downtimeLimitMs, stallMs = STALL_MS }: SaveRequest, sink: SaveSink): Promise<MigrateOutcome> => {
  const limits = { downtimeLimitMs, maxBandwidthMiBps: UNBOUNDED_MIBPS };
  return migrate(vm, { address: sink.address, limits, stallMs }, setSaveCapabilities);
};

/**
 * Ends only when the guest runs, or its QEMU is gone: nobody else would continue it. Answers when that was, QEMU's clock. Only for a VM
 * whose record says `saving`: it has not left this host.
 */
export const continueSaved = async (vm: Vm): Promise<number> => {
  let resumedAtUs = 0;
  for (let attempt = 0; ; attempt++) {
    if (!vm.connected) throw new HypervisorError('hypervisor.qemu_exited', `QEMU of ${vm.vmId} is gone`, { vmId: vm.vmId });
    const info = await vm.qmp.execute<MigrationInfo>('query-migrate').catch(() => undefined);
    if (info && FLYING.has(info.status ?? '')) await vm.qmp.execute('migrate_cancel').catch(() => undefined);
    else if (info) {
      const seen = await queryStatus(vm.qmp);
      if (seen?.running) break;
      if (seen) resumedAtUs = await continueVm(vm.qmp).catch(() => 0);
      if (resumedAtUs > 0) break;
    }
    await sleep(Math.min(500, 10 * 2 ** Math.min(attempt, 10)));
  }
  await noLongerSaving(vm);
  return resumedAtUs || Date.now() * 1000;
};

/** On disk. Until it is, this VM does not migrate; so memory may not say what the disk does not. */
export const noLongerSaving = async (vm: Vm): Promise<void> => {
  if (!vm.record.saving) return;
  try {
    await vm.save({ saving: false });
  } catch (error) {
    vm.record = { ...vm.record, saving: true };
    throw error;
  }
};

/** Ends a save that takes too long, or that nobody wants any more, by breaking its stream: a QEMU that writes answers no command. */
class Limits {
  reason: HypervisorError | undefined;
  private readonly until: number;
  private readonly timer: NodeJS.Timeout;
  private pause: NodeJS.Timeout | undefined;
  private readonly off: () => void;
  private readonly sink: SaveSink;
  private readonly signal: AbortSignal | undefined;
  private readonly aborted = (): void => this.stop(new HypervisorError('hypervisor.migration_cancelled', 'Cancelled on request'));

  constructor(vm: Vm, { deadlineMs, maxPauseMs, signal }: SaveRequest, sink: SaveSink) {
    this.sink = sink;
    this.signal = signal;
    this.until = performance.now() + deadlineMs;
    const late = (what: string) => (): void => this.stop(new HypervisorError('hypervisor.save_timeout', what));
    this.timer = setTimeout(late(`The save was not done in ${deadlineMs} ms`), deadlineMs);
    this.off = vm.qmp.on(({ event }) => {
      if (event === 'STOP') this.pause ??= setTimeout(late(`The guest stood still for more than ${maxPauseMs} ms`), maxPauseMs);
      if (event === 'RESUME') clearTimeout(this.pause);
    });
    signal?.addEventListener('abort', this.aborted, { once: true });
    if (signal?.aborted) this.aborted();
  }

  left(): number {
    return Math.max(1_000, this.until - performance.now());
  }

  end(): void {
    clearTimeout(this.timer);
    clearTimeout(this.pause);
    this.off();
    this.signal?.removeEventListener('abort', this.aborted);
  }

  private stop(reason: HypervisorError): void {
    this.reason ??= reason;
    this.sink.close();
  }
}
