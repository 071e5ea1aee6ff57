import { createHash } from 'node:crypto';
import { memoryMiBOf, stateMiBOf } from '@chrysalis/contracts';
import type { SavedState, StatePlace, SuspendRequest } from '../driver.ts';
import { HypervisorError } from '../errors.ts';
import type { Way } from './migration.ts';
import type { GuestState, SimulatedVm } from './state.ts';
import type { SimulatedVolumes } from './volumes.ts';

const MiB = 1024 * 1024;
/** Of a target that listens to nobody. */
export const STATE_ADDRESS = 'state:';
type Kept = { readonly vmId: string; readonly topologyHash: string; readonly guest: GuestState };

/** What there is of it in memory, at the rate that is allowed, while it stands still. Answers how many bytes it were. */
export const writeMemory = async (
  vm: SimulatedVm,
  request: SuspendRequest,
  { linkMiBps, clock, cancelled, alive }: Way,
): Promise<number> => {
  const total = memoryMiBOf(vm.topology) * MiB;
  const rate = Math.min(linkMiBps, request.maxBandwidthMiBps) * MiB;
  const tick = request.progressEveryMs ?? 200;
  for (let sent = 0; sent < total;) {
    const ms = Math.min(tick, ((total - sent) / rate) * 1000);
    await clock.sleep(ms);
    if (cancelled()) throw new HypervisorError('hypervisor.migration_cancelled', 'The save was cancelled');
    await alive();
    sent = Math.min(total, sent + Math.max(1, Math.round((rate * ms) / 1000)));
    request.onProgress?.({
      phase: 'save',
      bytesTotal: total,
      bytesRemaining: total - sent,
      bytesTransferred: sent,
      dirtyPagesPerSecond: 0,
      mbps: (rate * 8) / 1_000_000,
      at: new Date(clock.now()).toISOString(),
    });
  }
  return total;
};

const digestOf = (text: string): SavedState => ({
  digest: `sha256:${createHash('sha256').update(text).digest('hex')}`,
  bytes: Buffer.byteLength(text),
});

export const keepState = (kept: SimulatedVolumes, { vmId, topology, topologyHash, guest }: SimulatedVm, to: StatePlace): SavedState => {
  const state = JSON.stringify({ vmId, topologyHash, guest } satisfies Omit<Kept, 'guest'> & Pick<SimulatedVm, 'guest'>);
  kept.set(to.pool, to.file, { sizeMiB: stateMiBOf(topology), state });
  return digestOf(state);
};

export const keptState = (kept: SimulatedVolumes, { pool, file, ...said }: StatePlace & SavedState): Kept => {
  const state = kept.get(pool, file)?.state;
  if (state === undefined) throw new HypervisorError('hypervisor.save_corrupt', `The saved state cannot be read: no ${file} in ${pool}`);
  const is = digestOf(state);
  if (is.digest !== said.digest || is.bytes !== said.bytes)
    throw new HypervisorError('hypervisor.save_corrupt', `The saved state is ${is.digest}, and was written as ${said.digest}`);
  return JSON.parse(state) as Kept;
};
