import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

export type Word = { readonly vni: number; readonly version: number; readonly peers: string[] };

/** The segments that the host has or had a part of, locked in one order: two hosts that join one wait for each other. */
export const lockSegments = async (tx: pg.PoolClient, hostId: string, vnis: readonly number[]): Promise<void> => {
  await tx.query(
    `insert into agent_gateway.segments (vni, version) select v, 0 from unnest($1::integer[]) v order by v on conflict (vni) do nothing`,
    [vnis],
  );
  await tx.query(
    `select from agent_gateway.segments
     where vni = any($1::integer[]) or vni in (select vni from agent_gateway.segment_parts where host_id = $2) order by vni for update`,
    [vnis, hostId],
  );
};

export const partsOf = async (tx: pg.PoolClient, hostId: string): Promise<ReadonlyMap<number, string>> => {
  const { rows } = await tx.query<{ vni: number; address: string }>(
    `select vni, address from agent_gateway.segment_parts where host_id = $1`,
    [hostId],
  );
  return new Map(rows.map((r) => [r.vni, r.address]));
};

export const writeParts = async (tx: pg.PoolClient, hostId: string, address: string, vnis: readonly number[]): Promise<void> => {
  await tx.query(`delete from agent_gateway.segment_parts where host_id = $1`, [hostId]);
  await tx.query(`insert into agent_gateway.segment_parts (vni, host_id, address) select v, $2, $3 from unnest($1::integer[]) v`, [
    vnis,
    hostId,
    address,
  ]);
};

/** Above the clock, so that a database that was made anew says nothing older than the one before it. */
export const riseVersions = async (tx: pg.PoolClient, vnis: readonly number[]): Promise<void> => {
  await tx.query(
    `update agent_gateway.segments set version = greatest(version + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)
     where vni = any($1::integer[])`,
    [vnis],
  );
};

export const wordsOf = async (db: Queryable, vnis: readonly number[]): Promise<Word[]> => {
  const { rows } = await db.query<{ vni: number; version: string; peers: string[] }>({
    name: 'agent_gateway_segment_words',
    text: `select s.vni, s.version, array_agg(p.address order by p.address) filter (where p.address is not null) as peers
           from agent_gateway.segments s left join agent_gateway.segment_parts p using (vni)
           where s.vni = any($1::integer[]) group by s.vni, s.version`,
    values: [vnis],
  });
  return rows.map(({ vni, version, peers }) => ({ vni, version: Number(version), peers: peers ?? [] }));
};
