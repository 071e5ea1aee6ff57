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
