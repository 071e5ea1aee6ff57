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

const lockOf = (schema: string, name: string): string => `${schema} image ${name}`;
/** Many may make something of an image at once; who deletes it waits for them, and they for that. Ends with the transaction. */
export const useImage = async (tx: Queryable, schema: string, name: string): Promise<void> => {
  await tx.query(`select pg_advisory_xact_lock_shared(hashtextextended($1, 0))`, [lockOf(schema, name)]);
};
export const deletingImage = async (tx: Queryable, schema: string, name: string): Promise<void> => {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [lockOf(schema, name)]);
};

/** The VMs that are of it, whatever they do, and the volumes that are being made of it: of every tenant. `image`: `debian@1`. */
export const usesOfImage = async (tx: Queryable, schema: string, image: string): Promise<string[]> => {
  const { rows } = await tx.query<{ id: string }>(
    `(select vm as id from ${schema}.vms where view ->> 'image' = $1 and status not in ('deleted', 'failed') order by vm limit 100)
     union all
     (select volume as id from ${schema}.volumes
      where status = 'creating' and view #>> '{from,image,name}' || '@' || (view #>> '{from,image,version}') = $1 order by volume limit 100)`,
    [image],
  );
  return rows.map((r) => r.id);
};

/** Its file goes with it unless another image has the same. */
export const forgetImage = async (tx: Queryable, schema: string, { name, version }: { name: string; version: number }): Promise<void> => {
  await tx.query(
    `with gone as (delete from ${schema}.images where name = $1 and version = $2 returning image)
     insert into ${schema}.image_files_to_go (digest, format)
     select image ->> 'digest', image #>> '{disk,format}' from gone where image ? 'disk' on conflict do nothing`,
    [name, version],
  );
};

export type FileToGo = { readonly digest: string; readonly format: 'raw' | 'qcow2'; readonly registered: boolean };
/** `registered`: an image has it again, or another one has it too. */
export const filesToGo = async ({ pool, schema }: { pool: Queryable; schema: string }): Promise<FileToGo[]> =>
  (
    await pool.query<FileToGo>(
      `select digest, format, exists (select from ${schema}.images i where i.image ->> 'digest' = f.digest) as registered
       from ${schema}.image_files_to_go f order by digest limit 100`,
    )
  ).rows;
export const fileWent = async ({ pool, schema }: { pool: Queryable; schema: string }, digest: string): Promise<void> => {
  await pool.query(`delete from ${schema}.image_files_to_go where digest = $1`, [digest]);
};
