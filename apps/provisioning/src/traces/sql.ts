import type { Queryable } from '@chrysalis/event-store';
import type { volumes } from '@chrysalis/provisioning-core';
import type { VmView } from '../vm-view.ts';

/** Of VMs also those that are deleted: their views stay. */
export const vmsNamed = async (db: Queryable, schema: string, ids: readonly string[]): Promise<VmView[]> => {
  const { rows } = await db.query<{ view: VmView }>(`select view from ${schema}.vms where vm = any($1)`, [ids]);
  return rows.map((r) => r.view);
};

export const volumesNamed = async (db: Queryable, schema: string, ids: readonly string[]): Promise<volumes.KnownVolume[]> => {
  const { rows } = await db.query<{ view: volumes.KnownVolume }>(`select view from ${schema}.volumes where volume = any($1)`, [ids]);
  return rows.map((r) => r.view);
};

const NICS = `jsonb_array_elements((v.view -> 'nics') || coalesce(v.view -> 'topology' -> 'nics', '[]')) as n`;

/** Whose taps these are: a tap's name is made of its VM's and its NIC's, see `tapName` of the hypervisor. */
export const ownersOfTaps = async (db: Queryable, schema: string, taps: readonly string[]): Promise<ReadonlyMap<string, string>> => {
  if (taps.length === 0) return new Map();
  const { rows } = await db.query<{ tap: string; vm: string }>(
    `select distinct t.tap, v.vm from ${schema}.vms v cross join lateral ${NICS} cross join lateral (
       select 'chyt' || substr(encode(sha256(convert_to(v.vm || ' ' || (n ->> 'id'), 'UTF8')), 'hex'), 1, 10) as tap) t
     where t.tap = any($1)`,
    [taps],
  );
  return new Map(rows.map((r) => [r.tap, r.vm]));
};

type OfSegment = { readonly vni: number; readonly here: boolean; readonly coming: boolean };
/** Of the VMs that there are: who is on these segments, and whether one of them is on the host or under way. */
export const onSegments = async (db: Queryable, schema: string, hostId: string, vnis: readonly number[]): Promise<OfSegment[]> => {
  if (vnis.length === 0) return [];
  const { rows } = await db.query<OfSegment>(
    `select (n -> 'segment' ->> 'vni')::int as vni, bool_or(v.view ->> 'host' is not distinct from $1) as here,
            bool_or(v.view ? 'move' or v.view ? 'action' or v.status in ('requested', 'placed', 'deleting')) as coming
     from ${schema}.vms v cross join lateral ${NICS}
     where v.status not in ('deleted', 'failed') and (n -> 'segment' ->> 'vni')::int = any($2) group by 1`,
    [hostId, vnis],
  );
  return rows;
};

/** The last number that a network was given; they go up from the sequence's first and none is given twice. */
export const givenVnis = async (db: Queryable, schema: string): Promise<{ first: number; last: number }> => {
  const { rows } = await db.query<{ first: string; last: string }>(
    `select s.seqstart::text as first, case when n.is_called then n.last_value else s.seqstart - 1 end::text as last
     from ${schema}.network_vni n, pg_sequence s where s.seqrelid = '${schema}.network_vni'::regclass`,
  );
  return { first: Number(rows[0]!.first), last: Number(rows[0]!.last) };
};

/** That run or are off on the host, with nothing under way, and have been so for a while by their last event. */
export const settledOn = async (db: Queryable, schema: string, hostId: string, before: Date): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string }>(
    `select v.vm from ${schema}.vms v
     where v.view ->> 'host' = $1 and v.status in ('running', 'stopped', 'paused') and not v.view ? 'move' and not v.view ? 'action'
       and not exists (select from ${schema}.events e where e.stream_id = v.vm and e.at > $2) order by v.vm`,
    [hostId, before],
  );
  return rows.map((r) => r.vm);
};

/** In the same way, the volumes in pools of the host: those that it alone sees, and those known to be in a pool that it has. */
export const volumesAt = async (
  db: Queryable,
  schema: string,
  at: { readonly hostId: string; readonly poolIds: readonly string[]; readonly before: Date },
): Promise<{ volumeId: string; pool: string }[]> => {
  const { rows } = await db.query<{ volumeId: string; pool: string }>(
    `select v.volume as "volumeId", v.view ->> 'pool' as pool from ${schema}.volumes v
     where v.status in ('available', 'attached') and not v.view ? 'action'
       and (v.view ->> 'hostId' = $1 or (not v.view ? 'hostId' and v.view ->> 'poolId' = any($2)))
       and not exists (select from ${schema}.events e where e.stream_id = v.volume and e.at > $3) order by v.volume`,
    [at.hostId, at.poolIds, at.before],
  );
  return rows;
};
