import type { Queryable } from '@chrysalis/event-store';
import { type Measured, type Stats } from '@chrysalis/workflow-core';

const PER_DOUBLING = 8;
/** Longer is not told apart: a day. */
const LONGEST_MS = 86_400_000;
const bucketOf = (ms: string): string => `round(${PER_DOUBLING} * log(2, 1 + least(greatest(${ms}, 0), ${LONGEST_MS})::numeric))::smallint`;
/** The middle of a bucket, in milliseconds. */
const middle = (bucket: number): number => Math.round(2 ** (bucket / PER_DOUBLING) - 1);

const CHECKPOINT = 'workflow.durations';

/**
 * Counts the successes of the next $1 events of the log: each once, however many instances do this, as the checkpoint goes on with the
 * counts or not at all, and is one instance's while it does. Answers how many events were read; null: another is at it.
 */
export const countMore = (schema: string) => ({
  name: `${schema}.durations_count`,
  text: `
    with from_here as (
      select transaction_id, position from ${schema}.checkpoints where name = '${CHECKPOINT}' for update skip locked
    ), batch as materialized (
      select e.stream_id, e.type, e.transaction_id, e.global_position,
        case when e.type = 'chrysalis.workflow.task.succeeded.v1' then e.data - 'output' end as data
      from from_here f cross join lateral (
        select * from ${schema}.events e
        where (e.transaction_id, e.global_position) > (f.transaction_id, f.position) and e.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
        order by e.transaction_id, e.global_position limit $1) e
    ), done as (
      select stream_id, data ->> 'task' as task, split_part(data ->> 'task', '.', 1) as base,
        extract(epoch from (data ->> 'endedAt')::timestamptz - (data ->> 'startedAt')::timestamptz) * 1000 as ms
      from batch where data is not null
    ), tasks as (
      select e.stream_id, e.data -> 'definition' ->> 'name' as name, t ->> 'name' as base, t ->> 'kind' as kind, (t -> 'forEach') is not null as fan
      from (select distinct stream_id from done) s
      join ${schema}.events e on e.stream_id = s.stream_id and e.version <= 2 and e.type = 'chrysalis.workflow.instance.started.v1'
      cross join lateral jsonb_array_elements(e.data -> 'definition' -> 'tasks') t
    ), measured as (
      select t.name, case when d.task = d.base then d.base else d.base || '.*' end as task, t.kind, t.fan and d.task = d.base as joins, ${bucketOf('d.ms')} as bucket
      from done d join tasks t on t.stream_id = d.stream_id and t.base = d.base
    ), counted as (
      insert into ${schema}.durations as h (name, task, bucket, count)
      select name, task, bucket, count(*) from (
        select name, task, bucket from measured union all select '', kind, bucket from measured where not joins
      ) m group by name, task, bucket order by name, task, bucket
      on conflict (name, task, bucket) do update set count = h.count + excluded.count
    ), moved as (
      update ${schema}.checkpoints c set transaction_id = l.transaction_id, position = l.global_position, at = now()
      from (select transaction_id, global_position from batch order by transaction_id desc, global_position desc limit 1) l
      where c.name = '${CHECKPOINT}'
    )
    select (select count(*)::int from batch) as read`,
});

export const makeCheckpoint = (schema: string): string =>
  `insert into ${schema}.checkpoints (name) values ('${CHECKPOINT}') on conflict do nothing`;

type Row = { readonly name: string; readonly task: string; readonly count: number; readonly p50: number; readonly p95: number };
const percentile = (share: number): string => `min(bucket) filter (where upto >= ${share} * total)`;
/** Of $1 (names, empty: kinds) and $2 tasks or kinds. */
const measuredSql = (schema: string) => ({
  name: `${schema}.durations_measured`,
  text: `
    select name, task, max(total)::float8 as count, ${percentile(0.5)} as p50, ${percentile(0.95)} as p95
    from (
      select name, task, bucket, sum(count) over (partition by name, task order by bucket) as upto, sum(count) over (partition by name, task) as total
      from ${schema}.durations where (name = $1 and $1 <> '') or (name = '' and task = any($2::text[]))
    ) h group by name, task`,
});

const statsOf = ({ count, p50, p95 }: Row): Stats => ({ count, p50: middle(p50), p95: middle(p95) });

/** What earlier runs of the template took by task, and what these kinds take anywhere. */
export const measuredOf = async (db: Queryable, schema: string, template: string, kinds: readonly string[]): Promise<Measured> => {
  const { rows } = await db.query<Row>({ ...measuredSql(schema), values: [template, kinds] });
  const of = (name: string): Map<string, Stats> => new Map(rows.filter((r) => r.name === name).map((r) => [r.task, statsOf(r)]));
  return { tasks: template === '' ? new Map() : of(template), kinds: of('') };
};
