import type { Queryable } from '@chrysalis/event-store';
import type { VmView } from '../vm-view.ts';

/** `lookAt`: when its last sighting is to be considered next. Null: not before something else is heard. */
export const writeVm = async (tx: Queryable, schema: string, view: VmView, lookAt: string | null): Promise<void> => {
  await tx.query({
    name: `${schema}.write_vm`,
    text: `
      with looked as (update ${schema}.sightings set look_at = $6::timestamptz where vm = $1 and look_at is distinct from $6::timestamptz)
      insert into ${schema}.vms (vm, tenant, status, version, view) values ($1, $2, $3, $4, $5)
      on conflict (vm) do update set status = excluded.status, version = excluded.version, view = excluded.view`,
    values: [view.id, view.tenant, view.status, view.version, JSON.stringify(view), lookAt],
  });
};

/** Another tenant's VM is not there; `tenant` undefined: whoever's it is. */
export const vmOf = async (db: Queryable, schema: string, tenant: string | undefined, vm: string): Promise<VmView | undefined> => {
  const { rows } = await db.query<{ view: VmView }>(`select view from ${schema}.vms where vm = $1 and ($2::text is null or tenant = $2)`, [
    vm,
    tenant ?? null,
  ]);
  return rows[0]?.view;
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
