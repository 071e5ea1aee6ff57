import type { Observed } from '@chrysalis/contracts';
import type pg from 'pg';

/** Which host has the VM at which epoch; and what was said of it last, by whom. */
export type PlaceRow = {
  vm_id: string;
  tenant: string;
  host_id: string;
  epoch: number;
  observed: Observed | null;
  told: { hostId: string; epoch: number };
};
type At = { readonly vmId: string; readonly hostId: string; readonly epoch: number };

export const keepPlace = async (tx: pg.PoolClient, { vmId, hostId, epoch }: At, tenant: string): Promise<void> => {
  await tx.query(
    `insert into agent_gateway.vm_places (vm_id, tenant, host_id, epoch) values ($1, $2, $3, $4)
     on conflict (vm_id) do update set host_id = excluded.host_id, epoch = excluded.epoch`,
    [vmId, tenant, hostId, epoch],
  );
};

export const forgetPlace = async (tx: pg.PoolClient, vmId: string): Promise<void> => {
  await tx.query('delete from agent_gateway.vm_places where vm_id = $1', [vmId]);
};

/**
 * Locked; `busy` are those that another transaction has at the moment. They are not waited for: who waited, with others locked already, and
 * whoever moves the places of several VMs would wait for each other.
 */
export const placesOf = async (
  tx: pg.PoolClient,
  vmIds: readonly string[],
): Promise<{ places: Map<string, PlaceRow>; busy: ReadonlySet<string> }> => {
  const all = [...new Set(vmIds)];
  const { rows } = await tx.query<PlaceRow>(
    `select vm_id, tenant, host_id, epoch, observed, jsonb_build_object('hostId', told_host, 'epoch', told_epoch) as told
     from agent_gateway.vm_places where vm_id = any($1::text[]) for update skip locked`,
    [all],
  );
  const places = new Map(rows.map((r) => [r.vm_id, r]));
  const others = all.filter((id) => !places.has(id));
  if (others.length === 0) return { places, busy: new Set() };
  const there = await tx.query<{ vm_id: string }>('select vm_id from agent_gateway.vm_places where vm_id = any($1::text[])', [others]);
  return { places, busy: new Set(there.rows.map((r) => r.vm_id)) };
};

/** Each VM once. */
export const noteObserved = async (tx: pg.PoolClient, seen: readonly (At & { observed: Observed })[]): Promise<void> => {
  await tx.query(
    `update agent_gateway.vm_places p set observed = s.observed, told_host = s.host, told_epoch = s.epoch
     from rows from (unnest($1::text[], $2::text[], $3::int[]), jsonb_array_elements($4::jsonb)) as s (vm, host, epoch, observed)
     where p.vm_id = s.vm`,
    [seen.map((s) => s.vmId), seen.map((s) => s.hostId), seen.map((s) => s.epoch), JSON.stringify(seen.map((s) => s.observed))],
  );
};
