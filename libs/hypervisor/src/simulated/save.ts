import { writeFile } from 'node:fs/promises';
import type { SaveRequest } from '../driver.ts';
import { HypervisorError, hasCode } from '../errors.ts';
import type { Clock } from './clock.ts';
import { preCopy } from './migration.ts';
import type { PreCopy } from './migration.ts';
import type { SimulatedVm } from './state.ts';

type Way = { readonly linkMiBps: number; readonly clock: Clock; readonly cancelled: () => boolean };
const TICK_MS = 50;

/** The passes while the guest runs, as of a migration. Throws where it would never end, or not in time. */
export const beforeSave = async (vm: SimulatedVm, request: SaveRequest, { linkMiBps, clock, cancelled }: Way): Promise<PreCopy> => {
  const { deadlineMs, downtimeLimitMs, maxPauseMs, stallMs } = request;
  const until = clock.now() + deadlineMs;
  const late = (): boolean => clock.now() > until;
  const limits = { downtimeLimitMs, maxBandwidthMiBps: linkMiBps };
  const passes = { address: '', limits, progressEveryMs: TICK_MS, ...(stallMs === undefined ? {} : { stallMs }) };
  try {
    if (cancelled()) throw new HypervisorError('hypervisor.migration_cancelled', 'Cancelled before it began');
    const sent = await preCopy(vm, passes, { linkMiBps, clock, cancelled: () => cancelled() || late(), alive: async () => undefined });
    if (sent.lastPassMs <= maxPauseMs) return sent;
    throw new HypervisorError('hypervisor.save_timeout', `The guest would stand still for more than ${maxPauseMs} ms`);
  } catch (error) {
    if (!hasCode(error, 'hypervisor.migration_cancelled') || !late()) throw error;
    throw new HypervisorError('hypervisor.save_timeout', `The save was not done in ${deadlineMs} ms`);
  }
};

/** What there is of a simulated VM, in some bytes. */
export const writeSave = async ({ vmId, topologyHash, guest }: SimulatedVm, file: string): Promise<number> => {
  const text = JSON.stringify({ format: 'chrysalis-simulated-state', vmId, topologyHash, guest });
  await writeFile(file, text, { flag: 'wx', mode: 0o600 }).catch((error: Error) => {
    throw new HypervisorError('hypervisor.save_failed', `The save file could not be written: ${error.message}`);
  });
  return Buffer.byteLength(text);
};
