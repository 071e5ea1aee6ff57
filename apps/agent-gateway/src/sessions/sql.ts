import type pg from 'pg';

export type Measure = { readonly hostId: string; readonly skewMs: number };
/** The hosts whose clock was not measured before, or differs by so much from what was told last. */
export const noteClocks = async (tx: pg.PoolClient, measures: readonly Measure[], tellMs: number): Promise<ReadonlySet<string>> => {
  const { rows } = await tx.query<{ host_id: string }>(
    `insert into agent_gateway.agent_clocks as c (host_id, skew_ms)
     select distinct on (host_id) host_id, skew_ms from unnest($1::text[], $2::bigint[]) as s (host_id, skew_ms) order by host_id
     on conflict (host_id) do update set skew_ms = excluded.skew_ms where abs(c.skew_ms - excluded.skew_ms) >= $3 returning host_id`,
    [measures.map((m) => m.hostId), measures.map((m) => m.skewMs), tellMs],
  );
  return new Set(rows.map((r) => r.host_id));
};
