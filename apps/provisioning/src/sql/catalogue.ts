import type { Image, VmTypeSpec } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { Deprecation } from '@chrysalis/provisioning-core';

export type VmTypeRow = {
  readonly name: string;
  readonly version: number;
  readonly spec: VmTypeSpec;
  readonly deprecated?: Deprecation;
};
const withoutNull = ({ deprecated, ...row }: VmTypeRow): VmTypeRow => (deprecated ? { ...row, deprecated } : row);

export const writeVmType = async (tx: Queryable, schema: string, { name, version, spec }: VmTypeRow): Promise<void> => {
  await tx.query(`insert into ${schema}.vm_types (name, version, spec) values ($1, $2, $3)`, [name, version, JSON.stringify(spec)]);
};
export const writeDeprecation = async (
  tx: Queryable,
  schema: string,
  of: { name: string; version: number },
  why: Deprecation,
): Promise<void> => {
  await tx.query(`update ${schema}.vm_types set deprecated = $3 where name = $1 and version = $2`, [
    of.name,
    of.version,
    JSON.stringify(why),
  ]);
};
/** Newest version first. */
export const vmTypeVersions = async (db: Queryable, schema: string, name: string): Promise<VmTypeRow[]> =>
  (
    await db.query<VmTypeRow>(`select name, version, spec, deprecated from ${schema}.vm_types where name = $1 order by version desc`, [
      name,
    ])
  ).rows.map(withoutNull);
/** As `small@1`: the versions of this name, or where there are none the newest of each name. For a refusal that says what there is. */
const refsThere = async (db: Queryable, table: string, name: string): Promise<string[]> => {
  const { rows } = await db.query<{ name: string; version: number }>(
    `select name, version from ${table} where name = $1
     union all select name, max(version) from ${table} where not exists (select from ${table} where name = $1) group by name
     order by 1, 2 limit 100`,
    [name],
  );
  return rows.map((r) => `${r.name}@${r.version}`);
};
export const vmTypesThere = (db: Queryable, schema: string, name: string): Promise<string[]> => refsThere(db, `${schema}.vm_types`, name);
export const imagesThere = (db: Queryable, schema: string, name: string): Promise<string[]> => refsThere(db, `${schema}.images`, name);

export const writeImage = async (tx: Queryable, schema: string, image: Image): Promise<void> => {
  await tx.query(`insert into ${schema}.images (name, version, image) values ($1, $2, $3)`, [
    image.name,
    image.version,
    JSON.stringify(image),
  ]);
};

/** Of every version that is registered. */
export const imageDigests = async ({ pool, schema }: { pool: Queryable; schema: string }): Promise<ReadonlySet<string>> => {
  const { rows } = await pool.query<{ digest: string }>(`select image->>'digest' as digest from ${schema}.images`);
  return new Set(rows.map((r) => r.digest));
};
