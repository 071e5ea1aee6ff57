import { isAgentVolume, isStateFile, type Erased, type Trace } from '@chrysalis/contracts';
import { HypervisorError } from '../errors.ts';
import { otherwise, ownerOfFile, removed, stays } from '../traces.ts';
import type { SimulatedVm } from './state.ts';
import type { SimulatedVolumes } from './volumes.ts';

/** A VM is its file; one that is not off has what would be a process beside it. */
export const tracesOf = (vms: Iterable<SimulatedVm>, volumes: SimulatedVolumes, sharedPools: (pool: string) => boolean): Trace[] => [
  ...[...vms].flatMap(({ vmId, state, guest }): Trace[] => [
    ...(state === 'gone' ? [] : [{ kind: 'process', id: vmId, vmId, bytes: 0, print: guest?.bootId ?? 'waits' } as const]),
    { kind: 'folder', id: vmId, vmId, bytes: 0, print: 'simulated' },
  ]),
  ...volumes.all().map(([pool, volume]): Trace => ({
    ...{ kind: 'disk', id: `${pool}/${volume}`, pool, shared: sharedPools(pool), bytes: 0, print: 'simulated' },
    ...ownerOfFile(volume),
    ...(isStateFile(volume) ? { savedState: true } : {}),
    ...(isAgentVolume(volume) ? { agentPackage: true } : {}),
  })),
];

type Ends = {
  readonly process: (vmId: string) => Promise<void>;
  readonly folder: (vmId: string) => Promise<void>;
  /** Refused where somebody has it. */
  readonly disk: (pool: string, volume: string) => Promise<void>;
};
/** As on a real host: looked at once more, and what is in use stays. */
export const eraseOf = async (trace: Trace, now: readonly Trace[], ends: Ends): Promise<Erased> => {
  const { kind, id, pool = '' } = trace;
  const other = otherwise(trace, now.find((t) => t.kind === kind && t.id === id)); // prettier-ignore
  if (other) return other;
  if (kind === 'folder' && now.some((t) => t.kind === 'process' && t.id === id)) return stays(trace, 'its QEMU runs');
  try {
    if (kind === 'process' || kind === 'folder') await ends[kind](id);
    if (kind === 'disk') await ends.disk(pool, id.slice(pool.length + 1));
  } catch (error) {
    if (error instanceof HypervisorError) return stays(trace, error.message);
    throw error;
  }
  return removed(trace);
};
