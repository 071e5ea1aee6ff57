import type pg from 'pg';
import type { VmView } from '../vm-view.ts';

export type Queryable = Pick<pg.PoolClient, 'query'>;

export const writeVm = async (tx: Queryable, schema: string, view: VmView): Promise<void> => {
  await tx.query(
    `insert into ${schema}.vms (vm, tenant, status, version, view) values ($1, $2, $3, $4, $5)
     on conflict (vm) do update set status = excluded.status, version = excluded.version, view = excluded.view`,
    [view.id, view.tenant, view.status, view.version, JSON.stringify(view)],
  );
};

/** Another tenant's VM is not there. */
export const vmOf = async (db: Queryable, schema: string, tenant: string, vm: string): Promise<VmView | undefined> =>
  (await db.query<{ view: VmView }>(`select view from ${schema}.vms where vm = $1 and tenant = $2`, [vm, tenant])).rows[0]?.view;

/** Those there are of a type's version, of one tenant or of all. */
export const vmsOfType = async (
  db: Queryable,
  schema: string,
  of: { type: string; tenant: string | undefined; limit: number },
): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string }>(
    `select vm from ${schema}.vms
     where view ->> 'type' = $1 and status not in ('deleted', 'failed') and ($2::text is null or tenant = $2) order by vm limit $3`,
    [of.type, of.tenant ?? null, of.limit],
  );
  return rows.map((r) => r.vm);
};

export const vmsAfter = async (
  db: Queryable,
  schema: string,
  page: { tenant: string; after: string; limit: number },
): Promise<VmView[]> => {
  const { rows } = await db.query<{ view: VmView }>(
    `select view from ${schema}.vms where tenant = $1 and vm > $2 and status <> 'deleted' order by vm limit $3`,
    [page.tenant, page.after, page.limit],
  );
  return rows.map((r) => r.view);
};
