import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

export const keepTenant = async (tx: pg.PoolClient, vmId: string, tenant: string): Promise<void> => {
  await tx.query(`insert into agent_gateway.vm_tenants (vm_id, tenant) values ($1, $2) on conflict do nothing`, [vmId, tenant]);
};

/** Whose a VM is, as provisioning told; undefined where it has not been told yet. It never changes. */
export const tenantOfVm = async (db: Queryable, vmId: string): Promise<string | undefined> =>
  (await db.query<{ tenant: string }>(`select tenant from agent_gateway.vm_tenants where vm_id = $1`, [vmId])).rows[0]?.tenant;

/** Those of the VMs that are another tenant's. */
export const vmsOfOthers = async (tx: pg.PoolClient, tenant: string, vms: readonly string[]): Promise<string[]> => {
  const { rows } = await tx.query<{ vm_id: string }>(
    `select vm_id from agent_gateway.vm_tenants where vm_id = any($1::text[]) and tenant <> $2`,
    [vms, tenant],
  );
  return rows.map((r) => r.vm_id);
};
