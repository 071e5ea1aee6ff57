import { FLEET_TENANT, type TemplateSpec } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

/** `tenant`: whose the name is, the one that published it first. */
export type TemplateRow = Readonly<{ name: string; version: number; spec: TemplateSpec; at: Date; retired: boolean; tenant: string }>;
const columns = 'name, version, spec, at, retired, tenant';
/** A tenant's own and the fleet's; for whom there is no tenant, all. */
const seenBy = (parameter: string): string => `(${parameter}::text is null or tenant in (${parameter}, '${FLEET_TENANT}'))`;

/** Whose the name is from now on, or already was: two tenants that take it at once wait for each other here. */
export const takeName = async (tx: pg.PoolClient, schema: string, name: string, tenant: string): Promise<string> => {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`${schema} template ${name}`]);
  const { rows } = await tx.query<{ tenant: string }>(`select tenant from ${schema}.templates where name = $1 order by version limit 1`, [
    name,
  ]);
  return rows[0]?.tenant ?? tenant;
};

export const insertTemplate = (
  tx: pg.PoolClient,
  schema: string,
  { name, version, spec, at, tenant }: { name: string; version: number; spec: TemplateSpec; at: string; tenant: string },
) =>
  tx.query(`insert into ${schema}.templates (name, version, spec, at, tenant) values ($1, $2, $3, $4, $5) on conflict do nothing`, [
    name,
    version,
    JSON.stringify(spec),
    at,
    tenant,
  ]);

/** Its versions stay for what went by them; nobody finds them by name any more, and the name stays its tenant's. */
export const markDeleted = (tx: pg.PoolClient, schema: string, name: string, at: string) =>
  tx.query(`update ${schema}.templates set deleted_at = $2 where name = $1 and deleted_at is null`, [name, at]);

/** Who begins something by the template, until its transaction ends: who takes or deletes it waits (`takeName`). */
export const keepName = (tx: pg.PoolClient, schema: string, name: string) =>
  tx.query(`select pg_advisory_xact_lock_shared(hashtextextended($1, 0))`, [`${schema} template ${name}`]);

/** A version also of a template that was deleted since: what goes by it goes on. */
export const everVersion = async (q: Queryable, schema: string, name: string, version: number): Promise<TemplateRow | undefined> =>
  (await q.query<TemplateRow>(`select ${columns} from ${schema}.templates where name = $1 and version = $2`, [name, version])).rows[0];

/** Migrations that go by it and have not ended, and the workflows whose runs are to begin some by it; the first hundred. */
export const usersOf = async (tx: pg.PoolClient, schema: string, name: string): Promise<string[]> =>
  (
    await tx.query<{ id: string }>(
      `select migration_id as id from ${schema}.migrations m
         where template = $1 and (look_at is not null or exists (select from ${schema}.moves o where o.migration_id = m.migration_id and o.ended_at is null))
       union select dispatch ->> 'workflowId' from ${schema}.runs where outcome is null and split_part(input ->> 'template', '@', 1) = $1
       order by 1 limit 100`,
      [name],
    )
  ).rows.map((r) => r.id);

export const markRetired = (tx: pg.PoolClient, schema: string, name: string) =>
  tx.query(`update ${schema}.templates set retired = true where name = $1 and deleted_at is null`, [name]);

/** The versions of one template, the newest first; of all templates only the newest of each, by name. */
export const versionsOf = async (q: Queryable, schema: string, name: string, tenant: string | undefined): Promise<TemplateRow[]> =>
  (
    await q.query<TemplateRow>(
      `select ${columns} from ${schema}.templates where name = $1 and deleted_at is null and ${seenBy('$2')} order by version desc`,
      [name, tenant ?? null],
    )
  ).rows;

/** As `grow@2`: the versions of this name, or where there are none the newest of each that is not retired. For a refusal that says what there is. */
export const templatesThere = async (q: Queryable, schema: string, name: string, tenant: string | undefined): Promise<string[]> =>
  (
    await q.query<{ name: string; version: number }>(
      `with seen as (select name, version, retired from ${schema}.templates where deleted_at is null and ${seenBy('$2')})
       select name, version from seen where name = $1
       union all select name, max(version) from seen where not retired and not exists (select from seen where name = $1) group by name
       order by 1, 2 limit 100`,
      [name, tenant ?? null],
    )
  ).rows.map((r) => `${r.name}@${r.version}`);
