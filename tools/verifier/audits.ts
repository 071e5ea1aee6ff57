import type pg from 'pg';

/**
 * What an audit was told to take from a host was of a VM that had gone from there: its stream ended before, or had it on another host by then,
 * and no move had begun since.
 */
export const auditsRemoveOrphansAlone = async (db: pg.ClientBase): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string; host: string }>(
    `with removals as (select data->'input'->>'vmId' as vm, substr(data->>'executor', 6) as host, (meta->>'at')::timestamptz as at
                       from workflow.events where type ~ '\\.task\\.dispatched\\.v[0-9]+$' and data->>'kind' = 'host.remove-vm-traces'),
          before as (select r.vm, r.host, r.at, e.version, e.data, substring(e.type from '\\.vm\\.([a-z-]+)\\.v[0-9]+$') as what
                     from removals r left join provisioning.events e on e.stream_id = r.vm and (e.meta->>'at')::timestamptz <= r.at),
          place as (select distinct on (vm, host, at) vm, host, at, what, coalesce(data->>'toHost', data->>'hostId') as there from before
                    where what in ('placed', 'switched-over', 'deleted', 'provisioning-failed') order by vm, host, at, version desc),
          move as (select distinct on (vm, host, at) vm, host, at, what = 'move-begun' as moving from before
                   where what in ('move-begun', 'move-ended') order by vm, host, at, version desc)
     select distinct r.vm, r.host from removals r left join place p using (vm, host, at) left join move m using (vm, host, at)
     where p.what is null or (p.what in ('placed', 'switched-over') and (p.there = r.host or coalesce(m.moving, false)))
     order by 1, 2`,
  );
  return rows.map((r) => `I7: an audit of ${r.host} was told to take ${r.vm} from there, which was to be there`);
};
