import { speaksOf, type Observed } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { VmView } from '../vm-view.ts';

type Row = { view: VmView; seen: { hostId: string; epoch: number; observed: Observed } | null };
export type ShownVm = VmView & { readonly observed?: Observed };
const shown = ({ view, seen }: Row): ShownVm =>
  seen && speaksOf(seen, { hostId: view.host, epoch: view.epoch }) ? { ...view, observed: seen.observed } : view;
const rows = (schema: string): string => `select v.view,
    case when o.vm is not null then jsonb_build_object('hostId', o.host, 'epoch', o.epoch, 'observed', o.observed) end as seen
  from ${schema}.vms v left join ${schema}.observed o on o.vm = v.vm`;

export const writeVm = async (tx: Queryable, schema: string, view: VmView): Promise<void> => {
  await tx.query(
    `insert into ${schema}.vms (vm, tenant, status, version, view) values ($1, $2, $3, $4, $5)
     on conflict (vm) do update set status = excluded.status, version = excluded.version, view = excluded.view`,
    [view.id, view.tenant, view.status, view.version, JSON.stringify(view)],
  );
};

/** Another tenant's VM is not there; `tenant` undefined: whoever's it is. */
export const vmOf = async (db: Queryable, schema: string, tenant: string | undefined, vm: string): Promise<ShownVm | undefined> => {
  const found = await db.query<Row>(`${rows(schema)} where v.vm = $1 and ($2::text is null or v.tenant = $2)`, [vm, tenant ?? null]);
  return found.rows[0] && shown(found.rows[0]);
};

/** A tenant's VMs of a name, without those that are gone. */
export const vmsNamed = async (db: Queryable, schema: string, tenant: string, name: string): Promise<string[]> => {
  const { rows: found } = await db.query<{ vm: string }>(
    `select vm from ${schema}.vms where tenant = $1 and view ->> 'name' = $2 and status not in ('deleted', 'failed') order by vm limit 20`,
    [tenant, name],
  );
  return found.map((r) => r.vm);
};

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
  page: { tenant: string | undefined; after: string; limit: number },
): Promise<ShownVm[]> => {
  const found = await db.query<Row>(
    `${rows(schema)} where ($1::text is null or v.tenant = $1) and v.vm > $2 and v.status <> 'deleted' order by v.vm limit $3`,
    [page.tenant ?? null, page.after, page.limit],
  );
  return found.rows.map(shown);
};
