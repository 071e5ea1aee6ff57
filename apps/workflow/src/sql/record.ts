import type { Beside } from '@chrysalis/event-store';

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

/**
 * All that goes beside the events, as one statement. `first` is the number of its first parameter; `unless` is a condition that keeps out
 * what belongs to an instance whose events were not appended. `woken` has the timers that were set, as they now are.
 */
const changes = (schema: string, first: number, unless: (workflowId: string) => string): string => {
  const p = (n: number, type: string): string => `(select $${first + n}::${type}[])`; // hidden from the planner, as in the event store's
  return `
    woken as (
      insert into ${schema}.timers as t (workflow_id, at, version)
      select * from unnest(${p(0, 'text')}, ${p(1, 'timestamptz')}, ${p(2, 'int')}) as w (workflow_id, at, version)
      where ${unless('w.workflow_id')}
      on conflict (workflow_id) do update set at = least(t.at, excluded.at), version = greatest(t.version, excluded.version)
      returning workflow_id, extract(epoch from at) * 1000 as at
    ), moved as (
      update ${schema}.timers t set at = m.at, version = m.version
      from unnest(${p(3, 'text')}, ${p(4, 'timestamptz')}, ${p(5, 'int')}) as m (workflow_id, at, version)
      where t.workflow_id = m.workflow_id and t.version <= m.version and ${unless('m.workflow_id')}
    ), dropped as (
      delete from ${schema}.timers t using unnest(${p(6, 'text')}) as e (workflow_id)
      where t.workflow_id = e.workflow_id and ${unless('e.workflow_id')}
    ), told as (
      insert into ${schema}.instances (workflow_id, name, version, subject, tenant, state, cause_code, tasks, started_at, ended_at)
      select * from unnest(${p(7, 'text')}, ${p(8, 'text')}, ${p(9, 'int')}, ${p(10, 'text')}, ${p(11, 'text')}, ${p(12, 'text')}, ${p(13, 'text')},
        ${p(14, 'int')}, ${p(15, 'timestamptz')}, ${p(16, 'timestamptz')}) as i (workflow_id)
      where ${unless('i.workflow_id')}
      on conflict (workflow_id) do update set state = excluded.state, cause_code = excluded.cause_code, ended_at = excluded.ended_at
    )`;
};

/** In a transaction after the append. Answers the timers that were set as they now are. */
export const record = (schema: string) => ({
  name: `${schema}.workflow_record`,
  text: `with ${changes(schema, 1, () => 'true')} select workflow_id, at::float8 as at from woken`,
});

/** The same in the statement that appends; answers an object from workflow to moment. */
export const recordBeside = (schema: string): Beside => ({
  name: 'workflow_record',
  ctes: `lost as (select substr(stream_id, length('workflow-') + 1) as workflow_id from decided where not all_fit),
    ${changes(schema, 13, (workflowId) => `${workflowId} not in (select workflow_id from lost)`)}`,
  answer: `(select json_object_agg(workflow_id, at::float8) from woken)`,
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
