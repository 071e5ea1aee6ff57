import { memoryMiBOf, type Topology } from '@chrysalis/contracts';
import type { MigrateRequest, PrepareTarget } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { Way } from './migration.ts';
import type { SimulatedVm } from './state.ts';
import type { SimulatedVolumes } from './volumes.ts';

const MiB = 1024 * 1024;

type Copied = { readonly pool: string; readonly volume: string; readonly sizeMiB: number };
const partsOf = (t: Topology, volumes: readonly string[]): Copied[] =>
  volumes.map((volume) => {
    const found = t.disks.find((d) => d.volume === volume) ?? (t.uefi?.volume === volume ? { ...t.uefi, sizeMiB: 1 } : undefined);
    if (!found) throw new HypervisorError('hypervisor.volume_missing', `The VM has no volume ${volume}`, { volume });
    return found;
  });

/** Made anew; what an earlier move left is overwritten, unless somebody has it. */
export const makeCopies = (kept: SimulatedVolumes, t: Topology, copies: PrepareTarget['copies']): void => {
  for (const { pool, volume, sizeMiB } of partsOf(t, copies?.volumes ?? [])) {
    const holder = kept.get(pool, volume)?.holder;
    if (holder !== undefined) throw new HypervisorError('hypervisor.volume_locked', `${holder} has the volume ${volume} open`, { holder });
    kept.set(pool, volume, { sizeMiB, blank: true });
  }
};

/** What the stream brought is whole here now; one that it did not bring is a disk that its guest never wrote to. */
export const filled = (kept: SimulatedVolumes, t: Topology, volumes: readonly string[]): void => {
  for (const { pool, volume, sizeMiB } of partsOf(t, volumes)) {
    const there = kept.get(pool, volume);
    if (there?.sizeMiB !== sizeMiB)
      throw new HypervisorError('hypervisor.volume_conflict', `${volume} has ${there?.sizeMiB} MiB here, and comes with ${sizeMiB}`);
    kept.set(pool, volume, { sizeMiB });
  }
  const blank = t.disks.find((d) => kept.get(d.pool, d.volume)?.blank);
  if (blank) throw new HypervisorError('hypervisor.volume_missing', `${blank.volume} was made here and never copied`, { disk: blank.id });
};

/** At the link's rate, before the memory. Answers how many bytes it were. */
export const copyDisks = async (vm: SimulatedVm, request: MigrateRequest, { linkMiBps, clock, cancelled, alive }: Way): Promise<number> => {
  const total = partsOf(vm.topology, request.copies?.volumes ?? []).reduce((sum, d) => sum + d.sizeMiB * MiB, 0);
  const rate = Math.min(linkMiBps, request.limits.maxBandwidthMiBps) * MiB;
  const memory = memoryMiBOf(vm.topology) * MiB;
  const tick = request.progressEveryMs ?? 200;
  for (let sent = 0; sent < total;) {
    const ms = Math.min(tick, ((total - sent) / rate) * 1000);
    await clock.sleep(ms);
    if (cancelled()) throw new HypervisorError('hypervisor.migration_cancelled', 'The copy of the disks was cancelled');
    await alive();
    sent = Math.min(total, sent + Math.max(1, Math.round((rate * ms) / 1000)));
    request.onProgress?.({
      phase: 'disks',
      bytesTotal: total + memory,
      bytesRemaining: total - sent + memory,
      bytesTransferred: sent,
      dirtyPagesPerSecond: 0,
      mbps: (rate * 8) / 1_000_000,
      at: new Date(clock.now()).toISOString(),
    });
  }
  return total;
};
