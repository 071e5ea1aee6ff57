import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

type Begun = Readonly<{ migrationId: string; tenant: string; at: string; template: string }>;
export const insertMigration = (tx: pg.PoolClient, schema: string, { migrationId, tenant, at, template }: Begun) =>
  tx.query(`insert into ${schema}.migrations (migration_id, tenant, at, template) values ($1, $2, $3, $4)`, [
    migrationId,
    tenant,
    at,
    template,
  ]);

export const tenantOfMigration = async (tx: pg.PoolClient, schema: string, migrationId: string): Promise<string | undefined> =>
  (await tx.query<{ tenant: string }>(`select tenant from ${schema}.migrations where migration_id = $1`, [migrationId])).rows[0]?.tenant;

/** Looked at by then, or before where that was said already; `then` and not before, whatever was said. */
export const lookAt = (q: Queryable, schema: string, migrationId: string, at: string, when: 'by then' | 'then' = 'by then') =>
  q.query(
    `update ${schema}.migrations set look_at = $2 where migration_id = $1${when === 'then' ? '' : ' and (look_at is null or look_at > $2)'}`,
    [migrationId, at],
  );

export const lookNoMore = (tx: pg.PoolClient, schema: string, migrationId: string) =>
  tx.query(`update ${schema}.migrations set look_at = null where migration_id = $1`, [migrationId]);

/** One that is to be looked at, locked, and that no other instance looks at now. */
export const dueMigration = async (tx: pg.PoolClient, schema: string): Promise<{ migrationId: string; tenant: string } | undefined> =>
  (
    await tx.query<{ migrationId: string; tenant: string }>(
      `select migration_id as "migrationId", tenant from ${schema}.migrations
       where look_at <= clock_timestamp() order by look_at limit 1 for update skip locked`,
    )
  ).rows[0];
