import type { Queryable } from '@chrysalis/event-store';
import type { volumes } from '@chrysalis/provisioning-core';

type VolumeRow = { readonly tenant: string; readonly view: volumes.KnownVolume };

export const writeVolume = async (tx: Queryable, schema: string, volume: volumes.KnownVolume): Promise<void> => {
  await tx.query(
    `insert into ${schema}.volumes (volume, tenant, status, version, view) values ($1, $2, $3, $4, $5)
     on conflict (volume) do update set status = excluded.status, version = excluded.version, view = excluded.view`,
    [volume.volumeId, volume.tenant, volume.status, volume.version, JSON.stringify(volume)],
  );
};

/** Another tenant's volume is not there; `tenant` undefined: whoever's it is. */
export const volumeOf = async (
  db: Queryable,
  schema: string,
  tenant: string | undefined,
  volume: string,
): Promise<volumes.KnownVolume | undefined> => {
  const { rows } = await db.query<VolumeRow>(
    `select tenant, view from ${schema}.volumes where volume = $1 and ($2::text is null or tenant = $2)`,
    [volume, tenant ?? null],
  );
  return rows[0]?.view;
};

export const volumesOfVm = async (db: Queryable, schema: string, vm: string): Promise<volumes.KnownVolume[]> => {
  const { rows } = await db.query<VolumeRow>(`select tenant, view from ${schema}.volumes where view ->> 'vmId' = $1 order by volume`, [vm]);
  return rows.map((r) => r.view);
};
