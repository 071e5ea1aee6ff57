/**
 * $1 topics, $2 partitions, $3 events as one JSON array, one element a message in the order of publishing; $4 whether other processes must be woken.
 * Commits without waiting for the disk: the truth is in the logs. What a crash takes is sent again, since a relay flushes before it says
 * how far it came: by a commit of its row, which flushes all of the WAL before it, or by the statement below.
 * Returns the first offset it gave in each partition, and of which bus. Partitions are locked in one order, so that two publishers wait for each other and never in a circle.
 */
export const publish = {
  name: 'bus.publish',
  text: `
    with incoming as (
      select topic, partition, event, row_number() over (partition by topic, partition order by place) - 1 as step
      from rows from (unnest($1::text[]), unnest($2::int[]), json_array_elements($3::json)) with ordinality as m (topic, partition, event, place)
    ), counts as materialized (
      select topic, partition, count(*) as n from incoming group by topic, partition
    ), locked as materialized (
      select p.topic, p.partition from bus.partitions p join counts using (topic, partition) order by 1, 2 for update of p
    ), moved as (
      update bus.partitions p set next_offset = p.next_offset + c.n
      from locked l join counts c using (topic, partition) where p.topic = l.topic and p.partition = l.partition
      returning p.topic, p.partition, p.next_offset - c.n as first
    ), stored as (
      insert into bus.messages (topic, partition, message_offset, event)
      select topic, partition, first + step, event from incoming join moved using (topic, partition) returning 1
    )
    select topic, partition, first, (select count(*)::int from stored) as stored, (select id from bus.identity) as bus,
      (select count(pg_notify('bus_messages', topic || ' ' || partition)) from counts where $4::boolean) as woken,
      set_config('synchronous_commit', 'off', true) as relaxed
    from moved`,
};

/** A commit that waits for the disk, and with it for all that was committed before. A message in the WAL, as that takes no table. */
export const flush = { name: 'bus.flush', text: `select pg_logical_emit_message(true, 'chrysalis.bus', '')` };

/** $1 topic, $2 partition, $3 first offset, $4 limit, $5 the bus that the offset is of. No row where that is gone; one of nulls for nothing yet. */
export const fetch = {
  name: 'bus.fetch',
  text: `
    select m.message_offset, m.event from bus.identity i left join lateral (
      select message_offset, event from bus.messages where topic = $1 and partition = $2 and message_offset >= $3
      order by message_offset limit $4
    ) m on true where i.id = $5 order by m.message_offset`,
};

/** $1 topic: what each group that reads it is past. A reader never goes back; one that joins later begins with what is left. */
export const forget = {
  name: 'bus.forget',
  text: `
    delete from bus.messages m using (
      select partition, min(next_offset) as next from bus.offsets where topic = $1 group by partition
    ) handled where m.topic = $1 and m.partition = handled.partition and m.message_offset < handled.next`,
};

/** $1 topic: how far each partition goes, of which bus. */
export const ends = `
  select partition, next_offset, (select id from bus.identity) as bus from bus.partitions where topic = $1 order by partition`;

/** $1 group, $2 topic, $3 partition, $4 from the beginning. Returns where the group stands, and begins to keep it. */
export const join = {
  name: 'bus.join',
  text: `
    with added as (
      insert into bus.offsets (consumer_group, topic, partition, next_offset)
      select $1, topic, partition, case when $4::boolean then 0 else next_offset end from bus.partitions where topic = $2 and partition = $3
      on conflict do nothing returning next_offset
    )
    select next_offset, (select id from bus.identity) as bus from (
      select next_offset from added union all
      select next_offset from bus.offsets where consumer_group = $1 and topic = $2 and partition = $3
    ) one`,
};

/**
 * $1 group, $2 topic, $3 partition, $4 next offset, $5 the bus that it is of. Never backwards: a member that was held up cannot undo its
 * successor's work. Nor in a bus that was made anew, where the same number is another place.
 */
export const commit = {
  name: 'bus.commit',
  text: `
    update bus.offsets set next_offset = $4 where consumer_group = $1 and topic = $2 and partition = $3 and next_offset < $4
      and (select id from bus.identity) = $5`,
};

/** The same for many: $1 groups, $2 topics, $3 partitions, $4 next offsets, $5 buses. Two who meet in a row hand a partition over; the one that a deadlock ends says it again. */
export const commitAll = `
  update bus.offsets o set next_offset = m.next
  from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::text[]) as m (consumer_group, topic, partition, next, bus)
  where o.consumer_group = m.consumer_group and o.topic = m.topic and o.partition = m.partition and o.next_offset < m.next
    and m.bus = (select id::text from bus.identity)`;

/** $1 group, $2 topics: every partition with its next offset, of which bus, and whether the group has something to read there. */
export const partitions = {
  name: 'bus.partitions',
  text: `
    select p.topic, p.partition, p.next_offset as next, (select id from bus.identity) as bus, p.next_offset > coalesce(o.next_offset, 0) as behind
    from bus.partitions p
    left join bus.offsets o on o.consumer_group = $1 and o.topic = p.topic and o.partition = p.partition
    where p.topic = any($2::text[]) order by 1, 2`,
};

/** $1 id, $2 group, $3 topics. Over the connection that holds the member's locks. */
export const register = `
  insert into bus.members (id, consumer_group, topics, backend_pid, backend_start)
  select $1, $2, $3, pid, backend_start from pg_stat_activity where pid = pg_backend_pid()
  on conflict (id) do update set backend_pid = excluded.backend_pid, backend_start = excluded.backend_start, seen = now()`;

/** $1 ids of this process. */
export const beat = `update bus.members set seen = now() where id = any($1::uuid[])`;

/**
 * Every member with what is known of its connection. A crash closes it; a process that hangs keeps it, and its locks, but its beat
 * grows old: its connection is then ended for it, so that never two hold a partition.
 */
export const members = `
  with gone as (
    delete from bus.members m where not exists (
      select from pg_stat_activity a where a.pid = m.backend_pid and a.backend_start = m.backend_start
    ) returning id
  ), hung as (
    select pg_terminate_backend(backend_pid) from bus.members
    where seen < now() - interval '6 s' and backend_pid <> pg_backend_pid() and id not in (select id from gone)
  )
  select id, consumer_group, topics, backend_pid, backend_pid = pg_backend_pid() as ours from bus.members, (select count(*) from hung) h
  where id not in (select id from gone) order by id`;

export const lockName = (group: string, topic: string, partition: number): string => `bus ${group} ${topic} ${partition}`;
/** $1 names: which of them were free, and are this connection's now. */
export const tryLocks = `select name, pg_try_advisory_lock(hashtextextended(name, 0)) as locked from unnest($1::text[]) as name`;
export const unlock = `select pg_advisory_unlock(hashtextextended($1, 0))`;
