import { refText, type Characterisation, type Ref, type VmTypeSpec } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { KnownType } from '@chrysalis/migration-templates-core';
import type pg from 'pg';

export const knownTypes = async (q: Queryable, schema: string): Promise<KnownType[]> => {
  const { rows } = await q.query<{ name: string; version: number; spec: VmTypeSpec }>(
    `select name, version, spec from ${schema}.known_types order by name, version`,
  );
  return rows.map(({ name, version, spec }) => ({ ref: { name, version }, spec }));
};

export const knownType = async (q: Queryable, schema: string, ref: Ref): Promise<KnownType | undefined> => {
  const { rows } = await q.query<{ spec: VmTypeSpec }>(`select spec from ${schema}.known_types where ref = $1`, [refText(ref)]);
  return rows[0] && { ref, spec: rows[0].spec };
};

export const characterisationsOf = async (
  q: Queryable,
  schema: string,
  vmIds: readonly string[],
): Promise<Map<string, Characterisation>> => {
  const { rows } = await q.query<{ vm_id: string; characterisation: Characterisation }>(
    `select vm_id, characterisation from ${schema}.characterisations where vm_id = any($1)`,
    [vmIds],
  );
  return new Map(rows.map((r) => [r.vm_id, r.characterisation]));
};

export const keepCharacterisation = async (tx: pg.PoolClient, schema: string, c: Characterisation): Promise<void> => {
  await tx.query(
    `insert into ${schema}.characterisations (vm_id, characterisation, found_at) values ($1, $2, now())
     on conflict (vm_id) do update set characterisation = excluded.characterisation, found_at = excluded.found_at`,
    [c.vmId, JSON.stringify(c)],
  );
};
