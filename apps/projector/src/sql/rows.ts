import type pg from 'pg';
import type { Document, Table } from '../projection.ts';

export type Row = {
  readonly id: string;
  readonly version: number;
  readonly tenant: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly data: Document;
};

export const loadRows = async (
  tx: pg.ClientBase,
  schema: string,
  table: Table,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Row>> => {
  type Raw = { id: string; version: number; tenant: string; created_at: Date; updated_at: Date; data: Document };
  const { rows } = await tx.query<Raw>({
    name: `${schema}.${table}.load`,
    text: `select id, version, tenant, created_at, updated_at, data from ${schema}.${table} where id = any($1::text[])`,
    values: [ids],
  });
  return new Map(
    rows.map((r) => [
      r.id,
      {
        id: r.id,
        version: r.version,
        tenant: r.tenant,
        createdAt: r.created_at.toISOString(),
        updatedAt: r.updated_at.toISOString(),
        data: r.data,
      },
    ]),
  );
};

/** One statement for all rows of a batch. A row that is at a later version already stays as it is. */
export const upsertRows = async (tx: pg.ClientBase, schema: string, table: Table, rows: readonly Row[]): Promise<void> => {
  await tx.query({
    name: `${schema}.${table}.upsert`,
    text: `
      insert into ${schema}.${table} as t (id, version, tenant, created_at, updated_at, data)
      select * from rows from (unnest($1::text[], $2::integer[], $3::text[], $4::timestamptz[], $5::timestamptz[]), jsonb_array_elements($6::jsonb)) r
      on conflict (id) do update set version = excluded.version, updated_at = excluded.updated_at, data = excluded.data
      where t.version < excluded.version`,
    values: [
      rows.map((r) => r.id),
      rows.map((r) => r.version),
      rows.map((r) => r.tenant),
      rows.map((r) => r.createdAt),
      rows.map((r) => r.updatedAt),
      JSON.stringify(rows.map((r) => r.data)),
    ],
  });
};
