import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrateOutcome, MigrateRequest, MigrationProgress, MigrationStatistics } from '../driver.ts';
import { HypervisorError, hasCode } from '../errors.ts';
import type { QmpClient, QmpEvent } from '../qmp.ts';
import { StallDetector, stallMessage, type Stall } from '../stall.ts';
import { toProgress, type MigrationInfo } from './migration-info.ts';
import { keepStanding, switchOver } from './post-copy.ts';
import type { Vm } from './vm.ts';

const MiB = 1024 * 1024;
/** While it may not be switched over. Not 0: QEMU would not look for what was written meanwhile, and be done with the first pass. */
const HELD_DOWNTIME_MS = 1;
const NO_DEADLINE_MS = 2_000_000_000;
export const ENDS = new Set(['completed', 'failed', 'cancelled']);
export const statusOf = (event: QmpEvent): string => String(event.data['status']);

/**
 * Without `return-path` a source says `completed` while its target dies in loading the devices. `late-block-activate`: the
 * target takes the disks when it is continued, not before, so that a source may be taken back as long as no one runs.
 */
export const setCapabilities = async (qmp: QmpClient, target: boolean, { pauses, postCopy, streams, throttle }: Ways): Promise<void> => {
  await onlyCapabilities(qmp, [
    ...['events', 'return-path', 'validate-uuid'],
    ...(target ? ['late-block-activate'] : []),
    ...(postCopy ? ['postcopy-ram'] : []),
    ...(pauses ? ['pause-before-switchover'] : []),
    ...(streams ? ['multifd'] : []),
    ...(throttle ? ['auto-converge'] : []),
  ]);
  if (streams) await qmp.execute('migrate-set-parameters', { 'multifd-channels': streams });
};
/** `pauses`: before it switches over. `streams` has to be the same at both ends, by capability and by number. */
type Ways = {
  readonly pauses?: boolean;
  readonly postCopy?: boolean;
  readonly streams?: number | undefined;
  readonly throttle?: boolean | undefined;
};

/** Nobody at the other end talks back: with `return-path` QEMU would wait for it for ever. */
export const setSaveCapabilities = (qmp: QmpClient): Promise<void> => onlyCapabilities(qmp, ['events']);

/** These and no others: what an earlier migration of the same process had on is on still. */
export const onlyCapabilities = async (qmp: QmpClient, wanted: readonly string[]): Promise<void> => {
  const known = await qmp.execute<{ capability: string; state: boolean }[]>('query-migrate-capabilities');
  const over = known.filter((c) => c.state && !wanted.includes(c.capability)).map(({ capability }) => ({ capability, state: false }));
  const on = wanted.map((capability) => ({ capability, state: true }));
  await qmp.execute('migrate-set-capabilities', { capabilities: [...over, ...on] });
};

export const migrate = async (vm: Vm, request: MigrateRequest, prepare = setOutgoing(request)): Promise<MigrateOutcome> => {
  const { qmp } = vm;
  const before = await qmp.execute<{ status: string; running: boolean }>('query-status');
  if (!['running', 'paused'].includes(before.status))
    throw new HypervisorError('hypervisor.not_ready', `A VM in state ${before.status} cannot be migrated`, { state: before.status });

  let stoppedAtUs = 0;
  const off = qmp.on((event) => {
    if (event.event === 'STOP') stoppedAtUs = event.atUs;
    if (event.event === 'MIGRATION' && statusOf(event) === 'pre-switchover') watch.standsReady();
  });
  const end = qmp.waitFor('MIGRATION', (e) => ENDS.has(statusOf(e)), NO_DEADLINE_MS);
  const watch = new Watch(qmp, request);
  try {
    const refused = await start(qmp, request, prepare);
    if (refused) return { outcome: 'failed', cause: refused, running: before.running };
    watch.begin();
    const event = await Promise.race([end.promise, watch.end, watch.switched]);
    if (event === 'switched') return switched(vm, stoppedAtUs, end.promise);
    watch.stop();
    if (statusOf(event) === 'completed')
      return { outcome: 'completed', stoppedAtUs, completedAtUs: event.atUs, statistics: statistics(qmp) };
    return { outcome: 'failed', cause: await cause(qmp, statusOf(event), watch.reason), running: await runsAgain(qmp, before.running) };
  } finally {
    watch.stop();
    if (!watch.hasSwitched) end.cancel();
    off();
  }
};

/** This end is over, but for what the other needs of it. */
const switched = ({ qmp }: Vm, stoppedAtUs: number, end: Promise<unknown>): MigrateOutcome => {
  const off = keepStanding(qmp);
  const rest = end.catch(() => undefined).finally(off);
  return { outcome: 'completed', stoppedAtUs, completedAtUs: Date.now() * 1000, statistics: statistics(qmp), rest };
};

const setOutgoing =
  ({ postCopy, streams, throttle, released }: MigrateRequest) =>
  (qmp: QmpClient): Promise<unknown> =>
    setCapabilities(qmp, false, { postCopy: postCopy !== undefined, streams, throttle, pauses: released !== undefined });

/** A refusal before anything was sent, or nothing. */
const start = async (
  qmp: QmpClient,
  { address, limits, signal, released }: MigrateRequest,
  prepare: (qmp: QmpClient) => Promise<unknown>,
): Promise<HypervisorError | undefined> => {
  if (signal?.aborted) return new HypervisorError('hypervisor.migration_cancelled', 'Cancelled before it began');
  try {
    await prepare(qmp);
    await qmp.execute('migrate-set-parameters', {
      'downtime-limit': released ? HELD_DOWNTIME_MS : limits.downtimeLimitMs,
      'max-bandwidth': limits.maxBandwidthMiBps * MiB,
      'max-postcopy-bandwidth': limits.maxBandwidthMiBps * MiB,
    });
    await qmp.execute('migrate', { uri: address });
    return undefined;
  } catch (error) {
    if (!hasCode(error, 'hypervisor.qmp_refused')) throw error;
    return new HypervisorError('hypervisor.migration_failed', error.message, { ...error.detail, address });
  }
};

const cause = async (qmp: QmpClient, ended: string, reason: HypervisorError | undefined): Promise<HypervisorError> => {
  // Cut off in the middle of a write, QEMU may say `failed`, and a closed socket for its cause; that is our doing.
  if (reason) return reason;
  if (ended === 'cancelled') return new HypervisorError('hypervisor.migration_cancelled', 'The migration was cancelled');
  const info = await qmp.execute<MigrationInfo>('query-migrate').catch((): MigrationInfo => ({}));
  const why = info['error-desc'] ?? 'the target did not take the stream; see its last words';
  return new HypervisorError('hypervisor.migration_failed', `The migration failed: ${why}`, { qemu: info['error-desc'] });
};

/** The guest ended or stopped by itself meanwhile: there is nothing to continue. */
const stands = new Set(['shutdown', 'guest-panicked', 'internal-error', 'io-error', 'watchdog', 'suspended']);

/** QEMU continues a source whose migration failed; where it did not, we do. Its answer counts, not our command's. */
const runsAgain = async (qmp: QmpClient, wasRunning: boolean): Promise<boolean> => {
  if (!wasRunning) return false;
  const until = performance.now() + 5_000;
  for (let i = 0; ; i++) {
    const { running, status: state } = await qmp.execute<{ running: boolean; status: string }>('query-status');
    if (running) return true;
    if (stands.has(state)) return false;
    if (performance.now() > until)
      throw new HypervisorError('hypervisor.not_ready', `The source stays ${state} after a failed migration`, { state });
    if (i >= 10) await qmp.execute('cont').catch(() => undefined);
    await sleep(10);
  }
};

/** QEMU says `completed` a moment before it has worked out its figures: until then they are 0. */
const statistics = async (qmp: QmpClient): Promise<MigrationStatistics> => {
  let info: MigrationInfo = {};
  for (let i = 0; i < 20 && !info['total-time']; i++) {
    if (i > 0) await sleep(5);
    info = await qmp.execute<MigrationInfo>('query-migrate').catch((): MigrationInfo => ({}));
  }
  return {
    totalMs: info['total-time'] ?? 0,
    qemuDowntimeMs: info.downtime ?? 0,
    transferredBytes: info.ram?.transferred ?? 0,
    iterations: info.ram?.['dirty-sync-count'] ?? 0,
  };
};

/** QEMU says its end by an event. Where it shows it for so long, and no event came, it has ended all the same. */
const UNSAID_MS = 2_000;

/** Reads progress beside the migration, and cancels it when it stalls or the caller says so. The end is its business where nobody says it. */
class Watch {
  reason: HypervisorError | undefined;
  private readonly qmp: QmpClient;
  private readonly request: MigrateRequest;
  private stall: StallDetector;
  private held: boolean;
  private timer: NodeJS.Timeout | undefined;
  private endedAt: number | undefined;
  private readonly unsaid = Promise.withResolvers<QmpEvent>();
  private readonly aborted = (): void =>
    void this.cancel(new HypervisorError('hypervisor.migration_cancelled', `Cancelled on request${this.last()}`));
  private progress: MigrationProgress | undefined;
  /** Told to switch: from then on its end is QEMU's alone to say. */
  private going = false;
  private over = false;
  hasSwitched = false;
  private readonly gone = Promise.withResolvers<'switched'>();

  constructor(qmp: QmpClient, request: MigrateRequest) {
    this.qmp = qmp;
    this.request = request;
    this.stall = new StallDetector(request.stallMs);
    this.held = request.released !== undefined;
  }

  get end(): Promise<QmpEvent> {
    return this.unsaid.promise;
  }
  get switched(): Promise<'switched'> {
    return this.gone.promise;
  }

  begin(): void {
    this.request.signal?.addEventListener('abort', this.aborted, { once: true });
    if (this.request.signal?.aborted) this.aborted();
    this.timer = setInterval(() => void this.look(), this.request.progressEveryMs ?? 200);
    this.request.released?.then(
      () => void this.release(),
      () => undefined, // whoever holds it back for good ends it by its signal
    );
  }

  /** From here on it may converge, and whether it does is judged anew. */
  private async release(): Promise<void> {
    this.held = false;
    this.stall = new StallDetector(this.request.stallMs);
    const { downtimeLimitMs } = this.request.limits;
    await this.qmp.execute('migrate-set-parameters', { 'downtime-limit': downtimeLimitMs }).catch(() => undefined);
  }

  /** The guest stands still for its last pages, and QEMU waits for a word. Where the disks are copied, whoever copies them says it. */
  standsReady(): void {
    if (!this.request.released) return;
    if (this.held) return void this.cancel(heldBack());
    const refused = (error: Error): Promise<void> =>
      this.cancel(new HypervisorError('hypervisor.migration_failed', `QEMU does not go on: ${error.message}`));
    this.qmp.execute('migrate-continue', { state: 'pre-switchover' }).catch(refused);
  }

  stop(): void {
    this.over = true;
    clearInterval(this.timer);
    this.request.signal?.removeEventListener('abort', this.aborted);
  }

  private async look(): Promise<void> {
    const info = await this.qmp.execute<MigrationInfo>('query-migrate').catch(() => undefined);
    if (!info?.status) return;
    if (ENDS.has(info.status)) return this.shows(info.status);
    if (this.going) return;
    this.progress = toProgress(info);
    this.request.onProgress?.(this.progress);
    const { bytesRemaining: remaining, bytesTransferred: transferred } = this.progress;
    const pass = info.ram?.['dirty-sync-count'] ?? 0;
    if (info.status === 'active' && pass > this.passes) return this.go();
    const stall = this.stall.see({ remaining, transferred, pass }, performance.now());
    if (stall && this.isEnd(stall, info.status)) await this.stalled(stall);
  }

  /** Passes that get no smaller are just what one that is held back is to make. */
  private isEnd({ why }: Stall, status: string): boolean {
    return !standing.has(status) && !(this.held && why === 'diverging');
  }

  private async stalled(stall: Stall): Promise<void> {
    const detail = { ...this.progress, why: stall.why, stalledMs: stall.ms };
    await this.cancel(new HypervisorError('hypervisor.migration_stalled', `${stallMessage(stall)}${this.last()}`, detail));
  }

  /** So many, and then its guest goes before its memory. */
  private get passes(): number {
    return this.request.postCopy?.afterPasses ?? Infinity;
  }

  private async go(): Promise<void> {
    if (this.reason || this.over) return;
    this.going = true;
    // What QEMU does not answer it may have begun: looked at again until it has, or has ended.
    while (!this.over && !this.hasSwitched)
      await switchOver(this.qmp, () => this.over).then(
        () => (this.hasSwitched = !this.over),
        () => sleep(50),
      );
    if (this.hasSwitched) this.gone.resolve('switched');
  }

  private shows(status: string): void {
    const now = performance.now();
    this.endedAt ??= now;
    if (now - this.endedAt > UNSAID_MS) this.unsaid.resolve({ event: 'MIGRATION', data: { status }, atUs: Date.now() * 1000 });
  }

  private last(): string {
    const p = this.progress;
    if (!p) return '; it had not begun to send';
    const mib = (bytes: number): string => `${Math.round(bytes / MiB)} MiB`;
    return `; ${mib(p.bytesTransferred)} were sent, ${mib(p.bytesRemaining)} of ${mib(p.bytesTotal)} remained, the guest wrote ${p.dirtyPagesPerSecond} pages/s, the link carried ${Math.round(p.mbps)} Mbit/s`;
  }

  private async cancel(reason: HypervisorError): Promise<void> {
    if (this.reason || this.going) return;
    this.reason = reason;
    await this.qmp.execute('migrate_cancel').catch(() => undefined);
  }
}

const heldBack = (): HypervisorError =>
  new HypervisorError('hypervisor.migration_held', 'There was nothing more to send, and the switch-over is not approved yet');

/** The guest is stopped, and what is left is sent: how long that may take is the caller's to say. */
const standing = new Set(['pre-switchover', 'device', 'cancelling']);

export const queryStatus = (qmp: QmpClient): Promise<{ status: string; running: boolean } | undefined> =>
  qmp.execute<{ status: string; running: boolean }>('query-status').catch(() => undefined);

export const FLYING = new Set([
  'setup',
  'active',
  'postcopy-active',
  'postcopy-paused',
  'postcopy-recover',
  'postcopy-recover-setup',
  'pre-switchover',
  'device',
  'wait-unplug',
  'cancelling',
]);

/**
 * An outgoing migration that an earlier life of the driver began: it goes on in QEMU, and whoever takes the VM over must know of it, or
 * the guest would leave behind his back. `ended` resolves when it has, however; undefined where there is none.
 */
export const inFlight = async (qmp: QmpClient): Promise<{ ended: Promise<unknown> } | undefined> => {
  const end = qmp.waitFor('MIGRATION', (e) => ENDS.has(statusOf(e)), NO_DEADLINE_MS); // first, so that no end is missed
  const info = await qmp.execute<MigrationInfo>('query-migrate').catch((): MigrationInfo => ({}));
  const comes = info.status?.startsWith('postcopy') && !info.ram; // to here: that is no migration of this VM's
  if (info.status && FLYING.has(info.status) && !comes) {
    const off = info.status.startsWith('postcopy') ? keepStanding(qmp) : (): void => undefined;
    return { ended: end.promise.catch(() => undefined).finally(off) };
  }
  end.cancel();
  return undefined;
};
