import type pg from 'pg';

export type OpenConsole = {
  readonly session: string;
  readonly vmId: string;
  readonly hostId: string;
  readonly actor: string;
  readonly tenant: string;
};

export const keepOpen = async (
  tx: pg.PoolClient,
  instance: string,
  { session, vmId, hostId, actor, tenant }: OpenConsole,
): Promise<void> => {
  await tx.query(
    `insert into agent_gateway.open_consoles (session, instance, vm_id, host_id, actor, tenant) values ($1, $2, $3, $4, $5, $6)`,
    [session, instance, vmId, hostId, actor, tenant],
  );
};

/** False: its end was told before. */
export const noMoreOpen = async (tx: pg.PoolClient, session: string): Promise<boolean> =>
  (await tx.query(`delete from agent_gateway.open_consoles where session = $1`, [session])).rowCount === 1;

/** Those of an instance, as it left them. */
export const leftOpen = async (db: Pick<pg.Pool, 'query'>, instance: string): Promise<OpenConsole[]> =>
  (
    await db.query<OpenConsole>(
      `select session, vm_id as "vmId", host_id as "hostId", actor, tenant from agent_gateway.open_consoles where instance = $1`,
      [instance],
    )
  ).rows;

/** Where a VM is and whose. */
export const whereIs = async (db: Pick<pg.Pool, 'query'>, vmId: string): Promise<{ hostId: string | null; tenant: string } | undefined> =>
  (
    await db.query<{ hostId: string | null; tenant: string }>(
      `select coalesce(p.tenant, t.tenant) as tenant, p.host_id as "hostId"
       from (select $1::text as vm_id) asked
       left join agent_gateway.vm_places p using (vm_id) left join agent_gateway.vm_tenants t using (vm_id)
       where p.vm_id is not null or t.vm_id is not null`,
      [vmId],
    )
  ).rows[0];
