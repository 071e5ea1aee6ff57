import type pg from 'pg';

/** A start by a policy answers one plan, which is the event before it: none is started twice, nor where somebody had it meanwhile. */
export const startsArePlanned = async (db: pg.ClientBase): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string; version: number }>(
    `select s.stream_id as vm, s.version from provisioning.events s
     where s.type ~ '\\.vm\\.action-requested\\.v[0-9]+$' and s.data ? 'restart' and not exists (
       select 1 from provisioning.events p
       where p.stream_id = s.stream_id and p.version = s.version - 1 and p.type ~ '\\.vm\\.restart-planned\\.v[0-9]+$'
         and p.data->'attempt' = s.data->'restart'->'attempt')
     order by 1, 2`,
  );
  return rows.map((r) => `I7: ${r.vm} was started by its policy at version ${r.version}, and that was not planned`);
};

/**
 * What is left to a policy has a timer: a start that is planned, and a VM whose process is gone that nobody has heard of since. One that
 * was given up, or is in an action, a move or a deletion, has said so in its last event.
 */
export const restartsHaveTimers = async (db: pg.ClientBase): Promise<string[]> => {
  const { rows } = await db.query<{ vm: string; what: string }>(
    `with last as (select distinct on (stream_id) stream_id as vm, type, data, meta from provisioning.events
                   where stream_id like 'vm-%' order by stream_id, version desc),
          policy as (select distinct on (stream_id) stream_id as vm, coalesce(data->>'policy', data->>'restart') as policy from provisioning.events
                     where type ~ '\\.vm\\.(requested|restart-policy-set)\\.v[0-9]+$' order by stream_id, version desc),
          place as (select distinct on (stream_id) stream_id as vm, coalesce(data->>'toHost', data->>'hostId') as host from provisioning.events
                    where type ~ '\\.vm\\.(placed|switched-over)\\.v[0-9]+$' order by stream_id, version desc),
          seen as (select distinct on (stream_id) data->>'vmId' as vm, data->>'hostId' as host, data->'observed' as observed, meta from agent_gateway.events
                   where type ~ '\\.vm\\.observed\\.v[0-9]+$' order by stream_id, version desc)
     select l.vm, case when l.type like '%restart-planned%' then 'is to be started' else 'is off' end as what
     from last l join policy p on p.vm = l.vm and p.policy in ('on-failure', 'always')
     left join place on place.vm = l.vm left join seen s on s.vm = l.vm and s.host = place.host
     left join provisioning.sightings t on t.vm = l.vm
     where t.look_at is null and (
       l.type ~ '\\.vm\\.restart-planned\\.v[0-9]+$'
       or (l.type ~ '\\.vm\\.(booted|restart-policy-set)\\.v[0-9]+$' and s.observed->>'state' = 'gone' and t.vm is not null
           and (s.meta->>'at')::timestamptz > (l.meta->>'at')::timestamptz
           and (s.observed->>'since')::timestamptz > coalesce(l.data->>'at', '-infinity')::timestamptz))
     order by 1`,
  );
  return rows.map((r) => `I7: ${r.vm} ${r.what}, and no timer looks at it`);
};
