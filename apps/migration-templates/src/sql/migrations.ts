import type pg from 'pg';

export const insertMigration = (tx: pg.PoolClient, schema: string, migrationId: string, tenant: string, at: string) =>
  tx.query(`insert into ${schema}.migrations (migration_id, tenant, at) values ($1, $2, $3)`, [migrationId, tenant, at]);

export const tenantOfMigration = async (tx: pg.PoolClient, schema: string, migrationId: string): Promise<string | undefined> =>
  (await tx.query<{ tenant: string }>(`select tenant from ${schema}.migrations where migration_id = $1`, [migrationId])).rows[0]?.tenant;

/** Ids rise with time (UUIDv7), so the cursor is an id: those before it, the latest first. */
export const migrationsOf = async (
  pool: pg.Pool,
  schema: string,
  tenant: string | undefined,
  cursor: string,
  limit: number,
): Promise<string[]> =>
  (
    await pool.query<{ migration_id: string }>(
      `select migration_id from ${schema}.migrations where ($1::text is null or tenant = $1) and ($2 = '' or migration_id < $2) order by migration_id desc limit $3`,
      [tenant ?? null, cursor, limit],
    )
  ).rows.map((r) => r.migration_id);
