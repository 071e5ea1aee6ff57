import { place } from './place.ts';
import { connected, enoughRoom, pinned, pools, samePools, state } from './policies.ts';
import type { HostView, Placement } from './types.ts';

type Where = Readonly<{ pool: string; poolId?: string | undefined }>;
/** What a host is asked to do with its storage. `also`: it reaches that pool as well. `moreMiB`: so much of the pool is not promised. */
type FindHost = Where & Readonly<{ also?: Where | undefined; host?: string | undefined; fresh: boolean; moreMiB?: number }>;

const nothing = { vcpu: 0, memoryMiB: 0, diskMiB: 0 };

/** Who reaches a pool and is there, ranked as for a VM. `fresh`: not one that takes nothing new. */
export const findHost = (hosts: Iterable<HostView>, { also, host, fresh, moreMiB = 0, ...where }: FindHost): Placement => {
  const wanted = [where, ...(also ? [also] : [])];
  const [vmId, consumer, amounts, cpuModel] = ['', 'vm' as const, nothing, ''];
  return place(
    hosts,
    {
      ...{ vmId, consumer, amounts, cpuModel, traits: [], networks: [], host },
      pools: wanted.map((w) => w.pool),
      room: [{ pool: where.pool, sizeMiB: moreMiB }],
    },
    [pinned, ...(fresh ? [state] : []), connected, pools, samePools(wanted), enoughRoom],
  );
};
