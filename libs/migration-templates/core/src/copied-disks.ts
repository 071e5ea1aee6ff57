import { agentDiskOf, isVolumeFile, type CopiedDisk, type HostFacts, type Topology } from '@chrysalis/contracts';
import type { Policy } from '@chrysalis/placement';

type Disk = Topology['disks'][number];
type Ends = Readonly<{ source: HostFacts; target: HostFacts }>;

const poolIdOf = ({ pools }: HostFacts, name: string): string | undefined => pools?.find((p) => p.name === name)?.poolId;
const isLocal = ({ localPools }: HostFacts, pool: string): boolean => localPools?.includes(pool) === true;

/** The target does not see what the source has in the pool of that name. Of agents that do not say which pools those are nothing is said either. */
const isApart = ({ source, target }: Ends, pool: string): boolean => {
  if (isLocal(source, pool) || isLocal(target, pool)) return true;
  const [here, there] = [poolIdOf(source, pool), poolIdOf(target, pool)];
  return here !== undefined && there !== undefined && here !== there;
};

/** A pool of its own at either end: who leaves deletes there what is over, and nothing where other hosts may look. */
const canCopy = ({ source, target }: Ends, { pool, volume }: Pick<Disk, 'pool' | 'volume'>): boolean =>
  [source, target].every((end) => end.copiesDisks === true && isLocal(end, pool)) && !isVolumeFile(volume);

type Parted = Readonly<{ copied: readonly CopiedDisk[]; stuck: readonly Pick<Disk, 'id' | 'pool'>[] }>;

/**
 * The disks of a VM that goes to another host, as far as they do not just stay where they are: those that are copied while it runs, and those
 * that cannot go. The agent's own disk is neither where an agent of now makes it anew at the target.
 */
export const partedDisks = (ends: Ends, t: Topology): Parted => {
  const agent = ends.target.copiesDisks ? agentDiskOf(t) : undefined;
  const flash = t.uefi ? [{ id: 'uefi', sizeMiB: 1, ...t.uefi }] : [];
  const apart = [...t.disks.filter((d) => d !== agent), ...flash].filter((d) => isApart(ends, d.pool));
  return {
    copied: apart
      .filter((d) => canCopy(ends, d))
      .map(({ id: disk, pool, volume, sizeMiB }) => {
        const from = poolIdOf(ends.source, pool);
        return { disk, pool, volume, sizeMiB, ...(from === undefined ? {} : { from }) };
      }),
    stuck: apart.filter((d) => !canCopy(ends, d)),
  };
};

/** A disk that the target does not see where it is has to be one that can be copied there. */
export const reachesDisks = (source: HostFacts, t: Topology): Policy => ({
  name: 'local-disks',
  refuses: ({ facts: target }) => {
    const { stuck } = partedDisks({ source, target }, t);
    if (stuck.length === 0) return undefined;
    const names = stuck.map((d) => d.id).join(', ');
    return {
      code: 'host.pool_local',
      message: `${names} ${stuck.length === 1 ? 'is' : 'are'} in a pool that ${source.hostId} and ${target.hostId} do not share, and cannot be copied there`,
      remedy:
        'detach the volume, or move it to a shared pool first; a VM’s own disks are copied where both hosts have a pool of that name for themselves',
      evidence: { disks: stuck.map(({ id, pool }) => ({ id, pool })) },
    };
  },
});

export const copiedMiB = (copied: readonly Pick<CopiedDisk, 'sizeMiB'>[]): number => copied.reduce((sum, d) => sum + d.sizeMiB, 0);
