import type { PoolRoom, PoolSettings } from '@chrysalis/contracts';
import { both, type Queryable } from '@chrysalis/event-store';
import type { PoolView } from '@chrysalis/placement';
import { capacityOfPool, type KnownPool } from '@chrysalis/resource-allocation-core';

type Row = {
  readonly pool: string;
  readonly name: string;
  readonly kind: string;
  readonly version: number;
  readonly room: PoolRoom;
  readonly settings: PoolSettings;
  readonly held_mib: string;
};
export type PoolAt = { readonly version: number; readonly pool: KnownPool };

/** Locked until the transaction ends: whoever decides on a pool waits for whoever does already. `consumers`: whose holds come with it. */
export const poolLocked = async (
  tx: Queryable,
  schema: string,
  pool: string,
  consumers: readonly string[],
): Promise<PoolAt | undefined> => {
  const [{ rows }, held] = await both(
    tx,
    () =>
      tx.query<Row>(`select pool, name, kind, version, room, settings, held_mib from ${schema}.pools where pool = $1 for update`, [pool]),
    // Sees what others have committed while the row was waited for.
    () =>
      tx.query<{ consumer: string; size_mib: string }>(
        `select consumer, size_mib from ${schema}.pool_holds where pool = $1 and consumer = any($2)`,
        [pool, consumers],
      ),
  );
  const [row] = rows;
  if (!row) return undefined;
  const holds = new Map(held.rows.map((h) => [h.consumer, Number(h.size_mib)]));
  return { version: row.version, pool: { ...known(row), holds } };
};

const known = ({ pool, name, kind, room, settings, held_mib }: Row): KnownPool => ({
  status: 'known',
  ...{ poolId: pool, name, kind, room, settings },
  heldMiB: Number(held_mib),
  holds: new Map(),
});

export const writePool = async (tx: Queryable, schema: string, { version, pool }: PoolAt): Promise<void> => {
  await tx.query(
    `insert into ${schema}.pools (pool, name, kind, version, room, settings, held_mib) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (pool) do update set version = excluded.version, room = excluded.room, settings = excluded.settings, held_mib = excluded.held_mib`,
    [pool.poolId, pool.name, pool.kind, version, JSON.stringify(pool.room), JSON.stringify(pool.settings), pool.heldMiB],
  );
};

export type Hold = { readonly pool: string; readonly consumer: string; readonly vm?: string | undefined; readonly sizeMiB: number };
export const writeHold = async (tx: Queryable, schema: string, { pool, consumer, vm, sizeMiB }: Hold): Promise<void> => {
  await tx.query(
    `insert into ${schema}.pool_holds (pool, consumer, vm, size_mib) values ($1, $2, $3, $4)
     on conflict (pool, consumer) do update set size_mib = excluded.size_mib`,
    [pool, consumer, vm ?? null, sizeMiB],
  );
};

/** Of several at once, of who has none there yet. */
export const writeHolds = async (tx: Queryable, schema: string, holds: readonly Hold[]): Promise<void> => {
  await tx.query(
    `insert into ${schema}.pool_holds (pool, consumer, vm, size_mib) select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])`,
    [holds.map((h) => h.pool), holds.map((h) => h.consumer), holds.map((h) => h.vm ?? null), holds.map((h) => h.sizeMiB)],
  );
};

export const endHold = async (tx: Queryable, schema: string, pool: string, consumer: string): Promise<void> => {
  await tx.query(`delete from ${schema}.pool_holds where pool = $1 and consumer = $2`, [pool, consumer]);
};

/** In the order of their ids, so that two who lock the same pools never wait for each other in a ring. */
export const poolsHeldBy = async (tx: Queryable, schema: string, consumers: readonly string[]): Promise<string[]> =>
  (
    await tx.query<{ pool: string }>(`select distinct pool from ${schema}.pool_holds where consumer = any($1) order by pool`, [consumers])
  ).rows.map((r) => r.pool);

/** What a volume holds: it is in one pool. */
export const heldBy = async (tx: Queryable, schema: string, consumer: string): Promise<{ poolId: string; sizeMiB: number } | undefined> => {
  const { rows } = await tx.query<{ pool: string; size_mib: string }>(
    `select pool, size_mib from ${schema}.pool_holds where consumer = $1 order by since limit 1`,
    [consumer],
  );
  return rows[0] && { poolId: rows[0].pool, sizeMiB: Number(rows[0].size_mib) };
};

/** All pools, for ranking. They are few: one a shared folder, and what hosts have for themselves. */
export const poolViews = async (db: Queryable, schema: string): Promise<Map<string, PoolView>> => {
  const { rows } = await db.query<Row>(`select pool, name, kind, version, room, settings, held_mib from ${schema}.pools`);
  return new Map(rows.map((row) => [row.pool, viewOfPool(known(row))]));
};

export const viewOfPool = (pool: KnownPool): PoolView => ({
  poolId: pool.poolId,
  name: pool.name,
  capacityMiB: capacityOfPool(pool),
  heldMiB: pool.heldMiB,
});
