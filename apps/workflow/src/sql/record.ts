/** A new or an earlier timer; never makes an existing one later. */
export type Wake = { readonly workflowId: string; readonly at: string; readonly version: number };
export type InstanceRow = {
  readonly workflowId: string;
  readonly name: string;
  readonly version: number;
  readonly subject: string;
  readonly tenant: string;
  readonly state: string;
  readonly causeCode: string | null;
  readonly tasks: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
};
export type Changes = {
  readonly wakes: readonly Wake[];
  /** After a timer was looked at: on to the next one, unless somebody who knew more wrote meanwhile. */
  readonly moves: readonly Wake[];
  readonly ended: readonly string[];
  readonly instances: readonly InstanceRow[];
};

/** All that goes beside the events, in one statement. Answers the timers that were set as they now are. */
export const record = (schema: string) => ({
  name: `${schema}.workflow_record`,
  text: `
    with woken as (
      insert into ${schema}.timers as t (workflow_id, at, version)
      select * from unnest($1::text[], $2::timestamptz[], $3::int[])
      on conflict (workflow_id) do update set at = least(t.at, excluded.at), version = greatest(t.version, excluded.version)
      returning workflow_id, extract(epoch from at) * 1000 as at
    ), moved as (
      update ${schema}.timers t set at = m.at, version = m.version
      from unnest($4::text[], $5::timestamptz[], $6::int[]) as m (workflow_id, at, version)
      where t.workflow_id = m.workflow_id and t.version <= m.version
    ), dropped as (
      delete from ${schema}.timers where workflow_id = any($7::text[])
    ), told as (
      insert into ${schema}.instances (workflow_id, name, version, subject, tenant, state, cause_code, tasks, started_at, ended_at)
      select * from unnest($8::text[], $9::text[], $10::int[], $11::text[], $12::text[], $13::text[], $14::text[], $15::int[],
        $16::timestamptz[], $17::timestamptz[])
      on conflict (workflow_id) do update set state = excluded.state, cause_code = excluded.cause_code, ended_at = excluded.ended_at
    )
    select workflow_id, at::float8 as at from woken`,
});

export const recordValues = ({ wakes, moves, ended, instances }: Changes): unknown[] => [
  ...columns(wakes),
  ...columns(moves),
  ended,
  instances.map((i) => i.workflowId),
  instances.map((i) => i.name),
  instances.map((i) => i.version),
  instances.map((i) => i.subject),
  instances.map((i) => i.tenant),
  instances.map((i) => i.state),
  instances.map((i) => i.causeCode),
  instances.map((i) => i.tasks),
  instances.map((i) => i.startedAt),
  instances.map((i) => i.endedAt),
];
const columns = (list: readonly Wake[]): unknown[][] => [list.map((w) => w.workflowId), list.map((w) => w.at), list.map((w) => w.version)];

/** $1 workflows whose local tasks nobody executes from now on: due at once. */
export const handOver = (schema: string) => ({
  name: `${schema}.workflow_hand_over`,
  text: `update ${schema}.timers set at = least(at, now()) where workflow_id = any($1::text[])`,
});
