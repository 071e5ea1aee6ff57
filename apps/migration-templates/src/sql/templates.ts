import type { TemplateSpec } from '@chrysalis/contracts';
import type pg from 'pg';

export type TemplateRow = Readonly<{ name: string; version: number; spec: TemplateSpec; at: Date; retired: boolean }>;
type Queryable = pg.Pool | pg.PoolClient;

export const insertTemplate = (
  tx: pg.PoolClient,
  schema: string,
  { name, version, spec, at }: { name: string; version: number; spec: TemplateSpec; at: string },
) =>
  tx.query(`insert into ${schema}.templates (name, version, spec, at) values ($1, $2, $3, $4) on conflict do nothing`, [
    name,
    version,
    JSON.stringify(spec),
    at,
  ]);

export const markRetired = (tx: pg.PoolClient, schema: string, name: string) =>
  tx.query(`update ${schema}.templates set retired = true where name = $1`, [name]);

/** The versions of one template, the newest first; of all templates only the newest of each, by name. */
export const versionsOf = async (q: Queryable, schema: string, name: string): Promise<TemplateRow[]> =>
  (
    await q.query<TemplateRow>(`select name, version, spec, at, retired from ${schema}.templates where name = $1 order by version desc`, [
      name,
    ])
  ).rows;

export const newestAfter = async (q: Queryable, schema: string, cursor: string, limit: number): Promise<TemplateRow[]> =>
  (
    await q.query<TemplateRow>(
      `select distinct on (name) name, version, spec, at, retired from ${schema}.templates where name > $1 order by name, version desc limit $2`,
      [cursor, limit],
    )
  ).rows;
