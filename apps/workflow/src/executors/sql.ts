import type { Queryable } from '@chrysalis/event-store';
import { RANK_MEMORY_MS, type KnownExecutor } from '@chrysalis/workflow-core';

export type Told = Omit<KnownExecutor, 'health'> & { readonly capacity?: number; readonly sessionId?: string; readonly at: string };
export type ExecutorRow = KnownExecutor & {
  readonly capacity: number | null;
  readonly lastWord: string;
  /** Milliseconds since 1970, those that still weigh. */
  readonly losses: readonly number[];
  /** PostgreSQL's clock, which losses are dated by. */
  readonly now: number;
};

const LAST_WORD = `to_char(e.last_word at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "lastWord"`;

/** What is told of one executor comes in its order; a repetition from the middle ends as it ended. */
export const tell = (db: Queryable, schema: string, t: Told): Promise<unknown> =>
  db.query({
    name: `${schema}.executor_tell`,
    text: `
      insert into ${schema}.executors as e (executor, task_group, kinds, labels, capacity, health, session_id, told_at, last_word)
      values ($1, $2, $3, $4, $5, 'up', $6, $7, $7)
      on conflict (executor) do update set task_group = excluded.task_group, kinds = excluded.kinds, labels = excluded.labels,
        capacity = excluded.capacity, health = 'up', session_id = excluded.session_id, told_at = excluded.told_at,
        last_word = greatest(e.last_word, excluded.last_word)`,
    values: [t.executor, t.group, t.kinds, JSON.stringify(t.labels), t.capacity ?? null, t.sessionId ?? null, t.at],
  });

export const lose = (db: Queryable, schema: string, executor: string, sessionId: string): Promise<unknown> =>
  db.query({
    name: `${schema}.executor_lose`,
    text: `update ${schema}.executors set health = 'lost' where executor = $1 and session_id = $2`,
    values: [executor, sessionId],
  });

/** Undefined: it was never here. `lastWord`: when it was heard last. */
export const standingOf = async (
  db: Queryable,
  schema: string,
  executor: string,
): Promise<Pick<ExecutorRow, 'health' | 'lastWord'> | undefined> =>
  (
    await db.query<Pick<ExecutorRow, 'health' | 'lastWord'>>(`select health, ${LAST_WORD} from ${schema}.executors e where executor = $1`, [
      executor,
    ])
  ).rows[0];

export type Loss = { executor: string; eventId: string; at: string; code: string; workflowId: string; task: string };

/** Once an event; what weighs nothing any more goes. */
export const addLoss = (db: Queryable, schema: string, l: Loss): Promise<unknown> =>
  db.query({
    name: `${schema}.executor_loss`,
    text: `
      with old as (delete from ${schema}.executor_losses where executor = $1 and at < $3::timestamptz - interval '1 day')
      insert into ${schema}.executor_losses (executor, event_id, at, code, workflow_id, task)
      values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
    values: [l.executor, l.eventId, l.at, l.code, l.workflowId, l.task],
  });

const columns = (schema: string): string => `
  e.executor, e.task_group as "group", e.kinds, e.labels, e.capacity, e.health,
  ${LAST_WORD},
  coalesce((select array_agg((extract(epoch from l.at) * 1000)::float8) from (
    select at from ${schema}.executor_losses where executor = e.executor and at > now() - interval '${RANK_MEMORY_MS} ms'
    order by at desc limit 500) l), '{}') as losses,
  (extract(epoch from clock_timestamp()) * 1000)::float8 as now`;

/** All that are asked for in one statement. That they bid is their last word; written at most every 5 s. */
export const heard = async (db: Queryable, schema: string, executors: readonly string[]): Promise<ReadonlyMap<string, ExecutorRow>> => {
  const { rows } = await db.query<ExecutorRow>({
    name: `${schema}.executors_heard`,
    text: `
      with word as (update ${schema}.executors set last_word = now()
        where executor = any($1::text[]) and health = 'up' and last_word < now() - interval '5 seconds')
      select ${columns(schema)} from ${schema}.executors e where e.executor = any($1::text[])`,
    values: [executors],
  });
  return new Map(rows.map((r) => [r.executor, r]));
};

/** Every kind that an executor of a group has told, whether it is there now or not. */
export const kindsTold = async (db: Queryable, schema: string): Promise<{ group: string; kind: string }[]> =>
  (await db.query<{ group: string; kind: string }>(`select distinct task_group as "group", unnest(kinds) as kind from ${schema}.executors`))
    .rows;

export type ListExecutors = {
  readonly kind?: string | undefined;
  readonly health?: string | undefined;
  readonly group?: string | undefined;
};

/** By name, after `after`. */
export const list = async (
  db: Queryable,
  schema: string,
  { kind, health, group, after, limit }: ListExecutors & { after: string; limit: number },
): Promise<ExecutorRow[]> => {
  const { rows } = await db.query<ExecutorRow>({
    name: `${schema}.executors_list`,
    text: `
      select ${columns(schema)} from ${schema}.executors e
      where e.executor > $1 and ($2::text is null or $2 = any(e.kinds)) and ($3::text is null or e.health = $3)
        and ($4::text is null or e.task_group = $4)
      order by e.executor limit $5`,
    values: [after, kind ?? null, health ?? null, group ?? null, limit],
  });
  return rows;
};
