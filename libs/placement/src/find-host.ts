import { place } from './place.ts';
import { connected, pinned, pools, state } from './policies.ts';
import type { HostView, Placement } from './types.ts';

/** What a host is asked to do with its storage: nothing of it is held there. */
type FindHost = Readonly<{ pool: string; host?: string | undefined; fresh: boolean }>;

const nothing = { vcpu: 0, memoryMiB: 0, diskMiB: 0 };

/** Who reaches a pool and is there, ranked as for a VM. `fresh`: not one that takes nothing new. */
export const findHost = (hosts: Iterable<HostView>, { pool, host, fresh }: FindHost): Placement =>
  place(hosts, { vmId: '', consumer: 'vm', amounts: nothing, cpuModel: '', traits: [], networks: [], pools: [pool], host }, [
    pinned,
    ...(fresh ? [state] : []),
    connected,
    pools,
  ]);
