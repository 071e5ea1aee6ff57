import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrateOutcome, MigrateRequest, MigrationProgress, MigrationStatistics } from '../driver.ts';
import { HypervisorError, hasCode } from '../errors.ts';
import type { QmpClient, QmpEvent } from '../qmp.ts';
import { StallDetector, stallMessage } from '../stall.ts';
import type { Vm } from './vm.ts';

export type MigrationInfo = {
  status?: string;
  'error-desc'?: string;
  'total-time'?: number;
  downtime?: number;
  ram?: {
    total: number;
    remaining: number;
    transferred: number;
    'dirty-pages-rate': number;
    mbps: number;
    'dirty-sync-count': number;
  };
  'socket-address'?: { type: string; host: string; port: string }[];
};

const MiB = 1024 * 1024;
const NO_DEADLINE_MS = 2_000_000_000;
export const ENDS = new Set(['completed', 'failed', 'cancelled']);
export const statusOf = (event: QmpEvent): string => String(event.data['status']);

/**
 * Without `return-path` a source says `completed` while its target dies in loading the devices. `late-block-activate`: the
 * target takes the disks when it is continued, not before, so that a source may be taken back as long as no one runs.
 */
export const setCapabilities = (qmp: QmpClient, target: boolean, { pauses = false } = {}): Promise<void> =>
  onlyCapabilities(qmp, [
    ...['events', 'return-path', 'validate-uuid'],
    ...(target ? ['late-block-activate'] : []),
    ...(pauses ? ['pause-before-switchover'] : []),
  ]);

/** Nobody at the other end talks back: with `return-path` QEMU would wait for it for ever. */
export const setSaveCapabilities = (qmp: QmpClient): Promise<void> => onlyCapabilities(qmp, ['events']);

/** These and no others: what an earlier migration of the same process had on is on still. */
export const onlyCapabilities = async (qmp: QmpClient, wanted: readonly string[]): Promise<void> => {
  const known = await qmp.execute<{ capability: string; state: boolean }[]>('query-migrate-capabilities');
  const over = known.filter((c) => c.state && !wanted.includes(c.capability)).map(({ capability }) => ({ capability, state: false }));
  const on = wanted.map((capability) => ({ capability, state: true }));
  await qmp.execute('migrate-set-capabilities', { capabilities: [...over, ...on] });
};

export const migrate = async (vm: Vm, request: MigrateRequest, prepare = setOutgoing): Promise<MigrateOutcome> => {
  const { qmp } = vm;
  const before = await qmp.execute<{ status: string; running: boolean }>('query-status');
  if (!['running', 'paused'].includes(before.status))
    throw new HypervisorError('hypervisor.not_ready', `A VM in state ${before.status} cannot be migrated`, { state: before.status });

  let stoppedAtUs = 0;
  const off = qmp.on((event) => {
    if (event.event === 'STOP') stoppedAtUs = event.atUs;
  });
  const end = qmp.waitFor('MIGRATION', (e) => ENDS.has(statusOf(e)), NO_DEADLINE_MS);
  const watch = new Watch(qmp, request);
  try {
    const refused = await start(qmp, request, prepare);
    if (refused) return { outcome: 'failed', cause: refused, running: before.running };
    watch.begin();
    const event = await Promise.race([end.promise, watch.end]);
    watch.stop();
    if (statusOf(event) === 'completed')
      return { outcome: 'completed', stoppedAtUs, completedAtUs: event.atUs, statistics: statistics(qmp) };
    return { outcome: 'failed', cause: await cause(qmp, statusOf(event), watch.reason), running: await runsAgain(qmp, before.running) };
  } finally {
    watch.stop();
    end.cancel();
    off();
  }
};

const setOutgoing = (qmp: QmpClient): Promise<unknown> => setCapabilities(qmp, false);

/** A refusal before anything was sent, or nothing. */
const start = async (
  qmp: QmpClient,
  { address, limits, signal }: MigrateRequest,
  prepare: (qmp: QmpClient) => Promise<unknown>,
): Promise<HypervisorError | undefined> => {
  if (signal?.aborted) return new HypervisorError('hypervisor.migration_cancelled', 'Cancelled before it began');
  try {
    await prepare(qmp);
    await qmp.execute('migrate-set-parameters', {
      'downtime-limit': limits.downtimeLimitMs,
      'max-bandwidth': limits.maxBandwidthMiBps * MiB,
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
  private readonly stall: StallDetector;
  private timer: NodeJS.Timeout | undefined;
  private endedAt: number | undefined;
  private readonly unsaid = Promise.withResolvers<QmpEvent>();
  private readonly aborted = (): void =>
    void this.cancel(new HypervisorError('hypervisor.migration_cancelled', `Cancelled on request${this.last()}`));
  private progress: MigrationProgress | undefined;

  constructor(qmp: QmpClient, request: MigrateRequest) {
    this.qmp = qmp;
    this.request = request;
    this.stall = new StallDetector(request.stallMs);
  }

  get end(): Promise<QmpEvent> {
    return this.unsaid.promise;
  }

  begin(): void {
    this.request.signal?.addEventListener('abort', this.aborted, { once: true });
    if (this.request.signal?.aborted) this.aborted();
    this.timer = setInterval(() => void this.look(), this.request.progressEveryMs ?? 200);
  }

  stop(): void {
    clearInterval(this.timer);
    this.request.signal?.removeEventListener('abort', this.aborted);
  }

  private async look(): Promise<void> {
    const info = await this.qmp.execute<MigrationInfo>('query-migrate').catch(() => undefined);
    if (!info?.status) return;
    if (ENDS.has(info.status)) return this.shows(info.status);
    this.progress = toProgress(info);
    this.request.onProgress?.(this.progress);
    const { bytesRemaining: remaining, bytesTransferred: transferred } = this.progress;
    const stall = this.stall.see({ remaining, transferred, pass: info.ram?.['dirty-sync-count'] ?? 0 }, performance.now());
    if (!stall || standing.has(info.status)) return;
    const detail = { ...this.progress, why: stall.why, stalledMs: stall.ms };
    await this.cancel(new HypervisorError('hypervisor.migration_stalled', `${stallMessage(stall)}${this.last()}`, detail));
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
    if (this.reason) return;
    this.reason = reason;
    await this.qmp.execute('migrate_cancel').catch(() => undefined);
  }
}

/** The guest is stopped, and what is left is sent: how long that may take is the caller's to say. */
const standing = new Set(['pre-switchover', 'device', 'cancelling']);

const toProgress = ({ status = 'unknown', ram }: MigrationInfo): MigrationProgress => {
  const { total = 0, remaining = 0, transferred = 0, mbps = 0, 'dirty-pages-rate': dirtyPagesPerSecond = 0 } = ram ?? {};
  return {
    phase: status,
    bytesTotal: total,
    // Before the first pass QEMU has not counted yet and says 0.
    bytesRemaining: remaining || (transferred ? 0 : total),
    bytesTransferred: transferred,
    dirtyPagesPerSecond,
    mbps,
    at: new Date().toISOString(),
  };
};

export const queryStatus = (qmp: QmpClient): Promise<{ status: string; running: boolean } | undefined> =>
  qmp.execute<{ status: string; running: boolean }>('query-status').catch(() => undefined);

export const FLYING = new Set([
  'setup',
  'active',
  'postcopy-active',
  'postcopy-paused',
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
  if (info.status && FLYING.has(info.status)) return { ended: end.promise.catch(() => undefined) };
  end.cancel();
  return undefined;
};
