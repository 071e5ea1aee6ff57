import type { WorkflowDefinition } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

export type TemplateRow = {
  readonly name: string;
  readonly version: number;
  readonly definition: WorkflowDefinition;
  readonly at: Date;
  readonly retired: boolean;
};
export type TemplateHead = Omit<TemplateRow, 'definition'> & {
  readonly summary: string;
  readonly params: WorkflowDefinition['params'];
  readonly tasks: number;
};

export const insertTemplate = async (tx: pg.PoolClient, schema: string, definition: WorkflowDefinition, at: string): Promise<void> => {
  await tx.query(`insert into ${schema}.templates (name, version, definition, at) values ($1, $2, $3, $4)`, [
    definition.name,
    definition.version,
    JSON.stringify(definition),
    at,
  ]);
};

export const markRetired = async (tx: pg.PoolClient, schema: string, name: string): Promise<void> => {
  await tx.query(`update ${schema}.templates set retired = true where name = $1`, [name]);
};

/** One version, or the newest of the name. */
export const templateOf = async (db: Queryable, schema: string, name: string, version?: number): Promise<TemplateRow | undefined> =>
  (
    await db.query<TemplateRow>({
      name: `${schema}.workflow_template`,
      text: `select name, version, definition, at, retired from ${schema}.templates
             where name = $1 and ($2::int is null or version = $2) order by version desc limit 1`,
      values: [name, version ?? null],
    })
  ).rows[0];

export const versionsOf = async (db: Queryable, schema: string, name: string): Promise<number[]> =>
  (await db.query<{ version: number }>(`select version from ${schema}.templates where name = $1 order by version`, [name])).rows.map(
    (r) => r.version,
  );

/** As `copy@2`: the versions of this name, or where there are none the newest of each that is not retired. For a refusal that says what there is. */
export const templatesThere = async (db: Queryable, schema: string, name: string): Promise<string[]> =>
  (
    await db.query<{ name: string; version: number }>(
      `select name, version from ${schema}.templates where name = $1
       union all select name, max(version) from ${schema}.templates
         where not retired and not exists (select from ${schema}.templates where name = $1) group by name
       order by 1, 2 limit 100`,
      [name],
    )
  ).rows.map((r) => `${r.name}@${r.version}`);

/** The newest version of each, by name, without its tasks. */
export const templatesAfter = async (db: Queryable, schema: string, cursor: string, limit: number): Promise<TemplateHead[]> =>
  (
    await db.query<TemplateHead>(
      `select name, version, at, retired, definition ->> 'summary' as summary, definition -> 'params' as params,
         jsonb_array_length(definition -> 'tasks') as tasks
       from (select distinct on (name) * from ${schema}.templates where name > $1 order by name, version desc limit $2) newest`,
      [cursor, limit],
    )
  ).rows;
