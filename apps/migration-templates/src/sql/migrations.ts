import type pg from 'pg';

export const insertMigration = (tx: pg.PoolClient, schema: string, migrationId: string, tenant: string, at: string) =>
  tx.query(`insert into ${schema}.migrations (migration_id, tenant, at) values ($1, $2, $3)`, [migrationId, tenant, at]);

export const tenantOfMigration = async (tx: pg.PoolClient, schema: string, migrationId: string): Promise<string | undefined> =>
  (await tx.query<{ tenant: string }>(`select tenant from ${schema}.migrations where migration_id = $1`, [migrationId])).rows[0]?.tenant;
