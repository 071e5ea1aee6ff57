import { memoryMiBOf } from '@chrysalis/contracts';
import type { MigrateRequest, MigrationProgress } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import { StallDetector, stallMessage, type Stall } from '../stall.ts';
import type { Clock } from './clock.ts';
import type { SimulatedVm } from './state.ts';

const MiB = 1024 * 1024;
const PAGE = 4096;
const HELD_DOWNTIME_MS = 1;

/** `left`: of a post-copy, what has not gone. */
export type PreCopy = {
  readonly transferredBytes: number;
  readonly iterations: number;
  readonly lastPassMs: number;
  readonly left?: number;
};

/** What the transfer runs on, and what ends it from outside. `alive` throws when the target is gone. */
export type Way = {
  readonly linkMiBps: number;
  readonly clock: Clock;
  readonly cancelled: () => boolean;
  readonly alive: () => Promise<void>;
};

/**
 * Pre-copy: passes over what was dirtied during the one before, at the link's rate, until the rest fits in the downtime limit.
 * Throws where it would never end.
 */
export const preCopy = async (vm: SimulatedVm, request: MigrateRequest, { linkMiBps, clock, cancelled, alive }: Way): Promise<PreCopy> => {
  const rate = Math.min(linkMiBps, request.limits.maxBandwidthMiBps) * MiB;
  const total = memoryMiBOf(vm.topology) * MiB;
  const dirty = (vm.guest?.dirtyMiBps ?? 0) * MiB;
  const held = heldBack(request);
  const limit = (): number => (rate * (held() ? HELD_DOWNTIME_MS : request.limits.downtimeLimitMs)) / 1000;
  const tick = request.progressEveryMs ?? 200;
  const stall = new StallDetector(request.stallMs);
  const begun = clock.now();
  const passes = passesOf(request);
  let transferred = 0;
  let remaining = total;
  let iterations = 1;
  while (remaining > limit()) {
    const pass = (remaining / rate) * 1000;
    for (let left = pass; left > 0; left -= tick) {
      await clock.sleep(Math.min(tick, left));
      if (cancelled()) throw new HypervisorError('hypervisor.migration_cancelled', 'The migration was cancelled');
      await alive();
      const sent = (rate * Math.min(tick, left)) / 1000;
      transferred += sent;
      remaining = Math.max(0, remaining - sent);
      const progress = report({ total, remaining, transferred, dirty, rate }, clock);
      request.onProgress?.(progress);
      const stalled = endsIt(stall.see({ remaining, transferred, pass: iterations }, clock.now() - begun), held());
      if (stalled)
        throw new HypervisorError('hypervisor.migration_stalled', stallMessage(stalled), {
          ...progress,
          why: stalled.why,
          stalledMs: stalled.ms,
        });
    }
    remaining = Math.min(total, (dirty * slowedTo(request, iterations) * pass) / 1000);
    iterations++;
    if (remaining > limit() && iterations > passes)
      return { transferredBytes: Math.round(transferred), iterations, lastPassMs: 1, left: Math.round(remaining) };
  }
  if (held())
    throw new HypervisorError('hypervisor.migration_held', 'There was nothing more to send, and the switch-over is not approved yet');
  return { transferredBytes: Math.round(transferred + remaining), iterations, lastPassMs: Math.max(1, (remaining / rate) * 1000) };
};

/** What is left of a guest's own pace: a tenth less of it with each pass, and never nothing. */
const slowedTo = ({ throttle }: MigrateRequest, pass: number): number => (throttle ? 1 - Math.min(0.99, pass * 0.1) : 1);

/** So many, and then its guest goes before its memory. */
const passesOf = ({ postCopy }: MigrateRequest): number => postCopy?.afterPasses ?? Infinity;
/** May it still not be switched over? */
const heldBack = ({ released }: MigrateRequest): (() => boolean) => {
  let held = released !== undefined;
  released?.then(
    () => (held = false),
    () => undefined,
  );
  return () => held;
};
/** That passes get no smaller is what one that is held back is to do. */
const endsIt = (stall: Stall | undefined, held: boolean): Stall | undefined => (held && stall?.why === 'diverging' ? undefined : stall);

type Figures = {
  readonly total: number;
  readonly remaining: number;
  readonly transferred: number;
  readonly dirty: number;
  readonly rate: number;
};
const report = ({ total, remaining, transferred, dirty, rate }: Figures, clock: Clock): MigrationProgress => ({
  phase: 'active',
  bytesTotal: total,
  bytesRemaining: Math.round(remaining),
  bytesTransferred: Math.round(transferred),
  dirtyPagesPerSecond: Math.round(dirty / PAGE),
  mbps: (rate * 8) / 1_000_000,
  at: new Date(clock.now()).toISOString(),
});
