import type { WorkflowDefinition, WorkflowLimits } from '@chrysalis/contracts';
import type { EventMeta, Queryable } from '@chrysalis/event-store';
import { AGE_MS, type Pace, type Running, type Waiting } from '@chrysalis/workflow-core';
import type pg from 'pg';

/** A request as it waits. `definition` is left out where it is a template's. */
export type QueueEntry = {
  readonly workflowId: string;
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
  readonly summary: string;
  readonly tasks: number;
  readonly subject: string;
  readonly priority: number;
  readonly key: string | null;
  readonly definition: WorkflowDefinition | null;
  readonly params: Record<string, unknown>;
  readonly meta: EventMeta;
};
export type QueueRow = QueueEntry & { readonly queuedAt: Date; readonly expiresAt: Date; readonly announced: boolean };

/** Not started by then, a request ends. */
const PATIENCE = '24 hours';
/** Let in for longer and still here: whoever did it is gone, or its start failed. */
const LEASE = '5 seconds';

const columns = `workflow_id as "workflowId", tenant, name, version, summary, tasks, subject, priority, key, definition, params, meta,
  queued_at as "queuedAt", expires_at as "expiresAt", announced`;

/** Nothing happens where it is there already. `admitted`: nothing limits it, and the caller starts it. */
export const enqueue = async (tx: Queryable, schema: string, e: QueueEntry, admitted = false): Promise<void> => {
  await tx.query({
    name: `${schema}.queue_enqueue`,
    text: `
      insert into ${schema}.queue (workflow_id, tenant, name, version, summary, tasks, subject, priority, key, definition, params, meta,
        queued_at, rank, expires_at, admitted_at)
      select $1, $2, $3, $4, $5, $6, $7, $8::smallint, $9, $10, $11, $12,
        at, extract(epoch from at)::float8 * 1000 - $8::smallint * ${AGE_MS}, at + interval '${PATIENCE}', case when $13::boolean then at end
      from clock_timestamp() at
      on conflict do nothing`,
    values: [
      ...[e.workflowId, e.tenant, e.name, e.version, e.summary, e.tasks, e.subject, e.priority, e.key],
      ...[e.definition, e.params, e.meta].map((v) => (v === null ? null : JSON.stringify(v))),
      admitted,
    ],
  });
};

/** Until the transaction ends nobody else lets anybody in: what is counted stays true. */
export const lock = (tx: pg.PoolClient, schema: string) => tx.query(`select pg_advisory_xact_lock(hashtextextended('${schema}.queue', 0))`);

export type Look = {
  readonly now: number;
  readonly limits: WorkflowLimits | null;
  readonly waiting: readonly Waiting[];
  readonly running: readonly Running[];
};

/**
 * What a round decides on, in one statement. Running is what has a timer, that is, has not ended (a queued one has a timer but no list
 * row), and what was let in and has no list row yet. Of each tenant and kind the first $1 that wait suffice.
 */
export const look = async (tx: Queryable, schema: string, most: number): Promise<Look> => {
  const { rows } = await tx.query<Look>({
    name: `${schema}.queue_look`,
    text: `
      with waiting as (
        select first.* from (select tenant, name from ${schema}.queue where admitted_at is null group by tenant, name) g
        cross join lateral (
          select workflow_id as "workflowId", tenant, name as kind, rank from ${schema}.queue q
          where q.tenant = g.tenant and q.name = g.name and admitted_at is null order by rank limit $1) first
      ), running as (
        select tenant, kind, count(*) as count from (
          select i.tenant, i.name as kind from ${schema}.timers join ${schema}.instances i using (workflow_id) where i.ended_at is null
          union all
          select tenant, name from ${schema}.queue q where admitted_at is not null
            and not exists (select from ${schema}.instances i where i.workflow_id = q.workflow_id)
        ) r where exists (select from waiting) group by tenant, kind
      )
      select (extract(epoch from clock_timestamp()) * 1000)::float8 as now, (select limits from ${schema}.limits) as limits,
        (select coalesce(json_agg(w), '[]') from waiting w) as waiting, (select coalesce(json_agg(r), '[]') from running r) as running`,
    values: [most],
  });
  return rows[0]!;
};

export const admit = async (tx: Queryable, schema: string, workflowIds: readonly string[]): Promise<QueueRow[]> =>
  (
    await tx.query<QueueRow>({
      name: `${schema}.queue_admit`,
      text: `update ${schema}.queue set admitted_at = clock_timestamp() where workflow_id = any($1::text[]) returning ${columns}`,
      values: [workflowIds],
    })
  ).rows;

/** Those let in whom nobody started: for this instance alone. */
export const takeOver = async (db: Queryable, schema: string, most: number): Promise<QueueRow[]> =>
  (
    await db.query<QueueRow>(
      `update ${schema}.queue set admitted_at = clock_timestamp() where workflow_id in (
         select workflow_id from ${schema}.queue where admitted_at < clock_timestamp() - interval '${LEASE}'
         order by admitted_at limit $1 for update skip locked)
       returning ${columns}`,
      [most],
    )
  ).rows;

/** Those that wait and whose stream does not say so yet. */
export const unannounced = async (tx: Queryable, schema: string, most: number): Promise<QueueRow[]> =>
  (
    await tx.query<QueueRow>({
      name: `${schema}.queue_unannounced`,
      text: `select ${columns} from ${schema}.queue where admitted_at is null and not announced order by queued_at limit $1`,
      values: [most],
    })
  ).rows;

/** With a timer at the end of its patience. */
export const setAnnounced = async (tx: Queryable, schema: string, workflowIds: readonly string[]): Promise<void> => {
  await tx.query({
    name: `${schema}.queue_announced`,
    text: `
      with told as (update ${schema}.queue set announced = true where workflow_id = any($1::text[]) returning workflow_id, expires_at)
      insert into ${schema}.timers (workflow_id, at, version) select workflow_id, expires_at, 1 from told on conflict do nothing`,
    values: [workflowIds],
  });
};

export const remove = async (db: Queryable, schema: string, workflowIds: readonly string[]): Promise<void> => {
  await db.query({
    name: `${schema}.queue_remove`,
    text: `delete from ${schema}.queue where workflow_id = any($1::text[])`,
    values: [workflowIds],
  });
};

/** Whether anybody waits, and whether anything is there at all. */
export const occupied = async (db: Queryable, schema: string): Promise<{ waiting: boolean; any: boolean }> =>
  (
    await db.query<{ waiting: boolean; any: boolean }>({
      name: `${schema}.queue_occupied`,
      text: `select exists (select from ${schema}.queue where admitted_at is null) as waiting, exists (select from ${schema}.queue) as any`,
    })
  ).rows[0]!;

export const waitingOf = async (tx: Queryable, schema: string, tenant: string): Promise<number> =>
  (await tx.query<{ n: number }>(`select count(*)::int as n from ${schema}.queue where admitted_at is null and tenant = $1`, [tenant]))
    .rows[0]!.n;

export const paceOf = async (tx: Queryable, schema: string, tenants: readonly string[]): Promise<ReadonlyMap<string, Pace>> =>
  new Map(
    (
      await tx.query<Pace & { tenant: string }>(`select tenant, rate, at from ${schema}.queue_pace where tenant = any($1::text[])`, [
        tenants,
      ])
    ).rows.map(({ tenant, ...pace }) => [tenant, pace]),
  );

export const setPace = async (tx: Queryable, schema: string, paces: ReadonlyMap<string, Pace>): Promise<void> => {
  const list = [...paces];
  await tx.query(
    `insert into ${schema}.queue_pace (tenant, rate, at) select * from unnest($1::text[], $2::float8[], $3::float8[])
     on conflict (tenant) do update set rate = excluded.rate, at = excluded.at`,
    [list.map(([t]) => t), list.map(([, p]) => p.rate), list.map(([, p]) => p.at)],
  );
};

export const readLimits = async (db: Queryable, schema: string): Promise<WorkflowLimits> =>
  (await db.query<{ limits: WorkflowLimits }>({ name: `${schema}.queue_limits`, text: `select limits from ${schema}.limits` })).rows[0]
    ?.limits ?? {};

export const writeLimits = async (tx: Queryable, schema: string, limits: WorkflowLimits, at: string): Promise<void> => {
  await tx.query(
    `insert into ${schema}.limits (limits, set_at) values ($1, $2) on conflict (one) do update set limits = excluded.limits, set_at = excluded.set_at`,
    [JSON.stringify(limits), at],
  );
};

/** Whether a workflow of this id waits, or has ever been. */
export const isTaken = async (db: Queryable, schema: string, workflowId: string): Promise<boolean> =>
  (
    await db.query(
      `select from ${schema}.queue where workflow_id = $1
       union all select from ${schema}.events where stream_id = $2 limit 1`,
      [workflowId, `workflow-${workflowId}`],
    )
  ).rows.length > 0;

export const channel = (schema: string): string => `${schema}_queue`;
/** Every instance looks once this transaction is committed. Of use only where something waits or limits change: a NOTIFY costs a commit a lock. */
export const notify = async (tx: Queryable, schema: string): Promise<void> => {
  await tx.query(`select pg_notify('${channel(schema)}', '')`);
};
