import {
  isVolumeFile,
  stateMiBOf,
  type Blocker,
  type HostFacts,
  type PlannedMove,
  type TemplateSpec,
  type Topology,
} from '@chrysalis/contracts';
import type { PlacementRequest } from '@chrysalis/placement';
import { blocker } from './blockers.ts';

/** The VM stands still at its source, goes by a file of a pool that both ends see, and goes on at its target. */
export const saves = ({ migration, options }: Pick<TemplateSpec, 'migration' | 'options'>): boolean =>
  migration.length > 0 && options.method === 'save-and-restore';

/** Where its first own disk is: it goes nowhere that does not see that. */
export const statePoolOf = ({ disks }: Pick<Topology, 'disks'>): string | undefined =>
  disks.find((d) => !d.readOnly && !isVolumeFile(d.volume))?.pool;

export const statePoolBlockers = (vmId: string, topology: Topology): Blocker[] =>
  statePoolOf(topology) === undefined
    ? [blocker('option.no_pool_for_state', vmId, `${vmId} has no disk of its own in a pool that both hosts see`, 'use pre-copy or restart')]
    : [];

/** What is asked of a host and its pools for the way there, beside what is for good: room for the file until the guest has left it. */
export const withState = <R extends Pick<PlacementRequest, 'room'>>(request: R, topology: Topology): R => {
  const pool = statePoolOf(topology);
  const room = (request.room ?? []).map((r) => (r.pool === pool ? { ...r, sizeMiB: r.sizeMiB + stateMiBOf(topology) } : r));
  return { ...request, room };
};

/** A prior, as no pool says how fast it is: what a plain disk writes and reads, MiB/s. */
const WRITES_MIBPS = 256;
const READS_MIBPS = 512;

/** Written at the template's bandwidth, as far as a disk takes that, and read three times: for its digest at either end, and by the target. */
const standstillSeconds = (sizeMiB: number, maxBandwidthMiBps: number): number =>
  Math.ceil(sizeMiB / Math.min(maxBandwidthMiBps, WRITES_MIBPS) + (3 * sizeMiB) / READS_MIBPS);

export const standsStillOf = (spec: TemplateSpec, moved: Topology, mapped: boolean): Pick<PlannedMove, 'standsStill'> => {
  const pool = saves(spec) ? statePoolOf(moved) : undefined;
  if (pool === undefined) return {};
  const sizeMiB = stateMiBOf(moved);
  return {
    standsStill: { pool, sizeMiB, seconds: standstillSeconds(sizeMiB, spec.options.maxBandwidthMiBps), ...(mapped ? { mapped } : {}) },
  };
};

/** Its users wait meanwhile: two minutes, or ten times the forecast; then the guest goes on where it was. */
export const saveDeadlineMs = (moved: Topology, maxBandwidthMiBps: number): number =>
  Math.max(120_000, standstillSeconds(stateMiBOf(moved), maxBandwidthMiBps) * 10_000);

/** Each page in its own place of the file, where both ends can. */
export const mapsRam = (source: HostFacts | undefined, target: HostFacts | undefined): boolean =>
  source?.mappedRam === true && target?.mappedRam === true;
