import { poolCapacityMiB, type PoolRoom, type PoolSettings } from '@chrysalis/contracts';
import type { Document, Found, ReadModels } from './read-models.ts';

type Has = { host: string; pool_id: string };

/** What may be promised of each in all; and the hosts that have it by their own facts. */
export const withHosts = async (reads: ReadModels, pools: readonly Found[]): Promise<readonly Found[]> => {
  if (pools.length === 0) return [];
  const ids = pools.map((p) => p['poolId']);
  const { rows } = await reads.query<Has>(
    `select h.id as host, p ->> 'poolId' as pool_id
     from read.host_inventory h, jsonb_array_elements(coalesce(h.data #> '{facts,pools}', '[]')) p
     where p ->> 'poolId' = any($1::text[]) order by h.id`,
    [ids],
  );
  return pools.map((pool) => {
    const heldMiB = Number(pool['heldMiB']);
    const capacityMiB = capacityOf(pool);
    const hosts = rows.filter((r) => r.pool_id === pool['poolId']).map((r) => r.host);
    return { ...pool, capacityMiB, unpromisedMiB: capacityMiB - heldMiB, hosts };
  });
};

const capacityOf = (pool: Document): number => poolCapacityMiB(pool as PoolRoom, pool['settings'] as PoolSettings);
