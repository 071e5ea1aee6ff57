import type { Observed } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { isOff, type Sighting } from '@chrysalis/provisioning-core';

type Told = {
  readonly vmId: string;
  readonly version: number;
  readonly hostId: string;
  readonly epoch: number;
  readonly observed: Observed;
};

/**
 * An older one than what is there is not taken. One that is not off has nothing to be started: it is looked at only where something is due
 * already, which it may call off.
 */
export const noteSighting = async (tx: Queryable, schema: string, { vmId, version, hostId, epoch, observed }: Told): Promise<void> => {
  await tx.query(
    `insert into ${schema}.sightings as s (vm, version, host, epoch, observed, look_at) values ($1, $2, $3, $4, $5, case when $6 then now() end)
     on conflict (vm) do update
       set version = excluded.version, host = excluded.host, epoch = excluded.epoch, observed = excluded.observed,
           look_at = case when $6 or s.look_at is not null then now() end
     where s.version < excluded.version`,
    [vmId, version, hostId, epoch, JSON.stringify(observed), isOff({ observed })],
  );
};

/** `look_at` as text: a JavaScript date would round it. */
export type Due = { readonly vm: string; readonly version: number; readonly look_at: string };
export const dueSightings = async (db: Queryable, schema: string, now: string, limit: number): Promise<Due[]> => {
  const { rows } = await db.query<Due>(
    `select vm, version, look_at::text from ${schema}.sightings where look_at <= $1 order by look_at limit $2`,
    [now, limit],
  );
  return rows;
};

export const sightingOf = async (db: Queryable, schema: string, vm: string): Promise<Sighting | undefined> => {
  const { rows } = await db.query<{ host: string; epoch: number; observed: Observed }>(
    `select host, epoch, observed from ${schema}.sightings where vm = $1`,
    [vm],
  );
  const row = rows[0];
  return row && { hostId: row.host, epoch: row.epoch, observed: row.observed };
};

/** After a look that changed nothing. What was set or heard meanwhile stays. */
export const looked = async (tx: Queryable, schema: string, { vm, version, look_at }: Due, next: string | null): Promise<void> => {
  await tx.query(`update ${schema}.sightings set look_at = $4 where vm = $1 and version = $2 and look_at = $3::timestamptz`, [
    vm,
    version,
    look_at,
    next,
  ]);
};

export const forgetSighting = async (tx: Queryable, schema: string, vm: string): Promise<void> => {
  await tx.query(`delete from ${schema}.sightings where vm = $1`, [vm]);
};
