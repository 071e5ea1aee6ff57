import type { TaskDispatch } from '@chrysalis/contracts';
import type { EventMeta, Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

/** What a report is appended with, kept from the dispatch so that a workflow's events share their correlation. */
export type KeptMeta = Pick<EventMeta, 'correlationId' | 'tenant'> & { readonly causationId?: string; readonly traceparent?: string };
export type Pending = {
  readonly taskKey: string;
  readonly dispatch: TaskDispatch;
  readonly grant: string | null;
  readonly leftMs: number;
  readonly covered: Covered | null;
};
/** By a grant: was the task on its way to its host before, and was the grant revoked since? */
export type Covered = { readonly sent: boolean; readonly revoked: boolean };

/** False: it is known already, whatever became of it. */
export const keep = async (
  tx: pg.PoolClient,
  taskKey: string,
  hostId: string,
  dispatch: TaskDispatch,
  meta: KeptMeta,
): Promise<boolean> => {
  const { rowCount } = await tx.query(
    `insert into agent_gateway.pending_tasks (task_key, host_id, dispatch, meta, state, deadline_at)
     values ($1, $2, $3, $4, 'pending', $5) on conflict do nothing`,
    [taskKey, hostId, JSON.stringify(dispatch), JSON.stringify(meta), dispatch.deadlineAt],
  );
  return rowCount === 1;
};

/** What covers the task, for the agent in the guest to verify it again. */
export const coveredBy = (tx: pg.PoolClient, taskKey: string, grantId: string, jws: string): Promise<unknown> =>
  tx.query(
    `with p as (update agent_gateway.pending_tasks set grant_jws = $3 where task_key = $1)
     insert into agent_gateway.granted_tasks (task_key, grant_id) values ($1, $2)`,
    [taskKey, grantId, jws],
  );

/** In the order in which they came. Not those in `sent`. */
export const pendingOf = async (db: Queryable, hostId: string, sent: readonly string[], limit: number): Promise<readonly Pending[]> => {
  const { rows } = await db.query<Pending>({
    name: 'pending_of_host',
    text: `select task_key as "taskKey", dispatch, grant_jws as "grant",
             (extract(epoch from deadline_at - clock_timestamp()) * 1000)::float8 as "leftMs",
             case when g.task_key is null then null else jsonb_build_object('sent', g.sent, 'revoked', g.revoked) end as covered
           from agent_gateway.pending_tasks left join agent_gateway.granted_tasks g using (task_key)
           where host_id = $1 and state = 'pending' and not (task_key = any($2::text[])) order by seq limit $3`,
    values: [hostId, sent, limit],
  });
  return rows;
};

/** Which of these hosts something is pending for, sent or not. */
export const hostsWithWork = async (db: Queryable, hostIds: readonly string[]): Promise<readonly string[]> => {
  if (hostIds.length === 0) return [];
  const { rows } = await db.query<{ host: string }>({
    name: 'hosts_with_work',
    text: `select distinct host_id as host from agent_gateway.pending_tasks where host_id = any($1::text[]) and state = 'pending'`,
    values: [hostIds],
  });
  return rows.map((r) => r.host);
};

/** Which of these are not pending any more. */
export const endedOf = async (db: Queryable, taskKeys: readonly string[]): Promise<ReadonlySet<string>> => {
  if (taskKeys.length === 0) return new Set();
  const { rows } = await db.query<{ key: string }>({
    name: 'ended_tasks',
    text: `select key from unnest($1::text[]) as k (key)
           where not exists (select from agent_gateway.pending_tasks where task_key = key and state = 'pending')`,
    values: [taskKeys],
  });
  return new Set(rows.map((r) => r.key));
};

export type Known = {
  readonly hostId: string;
  readonly dispatch: TaskDispatch;
  readonly meta: KeptMeta;
  readonly state: 'pending' | 'reported' | 'expired';
};
/** Locked until the transaction ends, in the order of their keys: of two instances that get one report, one waits and then sees it reported. */
export const findAll = async (tx: pg.PoolClient, taskKeys: readonly string[]): Promise<ReadonlyMap<string, Known>> => {
  const { rows } = await tx.query<Known & { readonly key: string }>(
    `select task_key as key, host_id as "hostId", dispatch, meta, state from agent_gateway.pending_tasks
     where task_key = any($1::text[]) order by task_key for update`,
    [taskKeys],
  );
  return new Map(rows.map(({ key, ...known }) => [key, known]));
};

export const markReported = (tx: pg.PoolClient, taskKeys: readonly string[]): Promise<unknown> =>
  tx.query(`update agent_gateway.pending_tasks set state = 'reported', ended_at = now() where task_key = any($1::text[])`, [taskKeys]);

/** Past their deadline by a little, so that a report made just in time still finds them. */
export const expire = async (db: Queryable, graceMs: number): Promise<readonly { hostId: string; dispatch: TaskDispatch }[]> => {
  const { rows } = await db.query<{ hostId: string; dispatch: TaskDispatch }>(
    `update agent_gateway.pending_tasks set state = 'expired', ended_at = now()
     where state = 'pending' and deadline_at < now() - $1 * interval '1 ms' returning host_id as "hostId", dispatch`,
    [graceMs],
  );
  return rows;
};

/** Ended tasks are kept for a week: they are what makes a late report or a repeated dispatch harmless. */
export const forgetEnded = (db: Queryable): Promise<unknown> =>
  db.query(`delete from agent_gateway.pending_tasks where state <> 'pending' and ended_at < now() - interval '7 days'`);

/** What is known of these keys, without a lock. */
export const knownOf = async (db: Queryable, taskKeys: readonly string[]): Promise<ReadonlyMap<string, Known>> => {
  const { rows } = await db.query<Known & { readonly key: string }>({
    name: 'known_tasks',
    text: `select task_key as key, host_id as "hostId", dispatch, meta, state from agent_gateway.pending_tasks where task_key = any($1::text[])`,
    values: [taskKeys],
  });
  return new Map(rows.map(({ key, ...known }) => [key, known]));
};

/** Not to be delivered any more; answers who may have it already. Nothing where it was reported, or never given to a host. */
export const withdrawPending = async (tx: pg.PoolClient, taskKey: string): Promise<{ hostId: string; token: number } | undefined> => {
  const { rows } = await tx.query<{ hostId: string; token: number }>(
    `update agent_gateway.pending_tasks set state = 'expired', ended_at = now() where task_key = $1 and state = 'pending'
     returning host_id as "hostId", (dispatch->>'token')::bigint::float8 as token`,
    [taskKey],
  );
  return rows[0];
};

/** Executions of a workflow that its hosts have, or get, and have not reported. A look at all that is pending: for what is rare. */
export const pendingOfKind = async (
  tx: pg.PoolClient,
  workflowId: string,
  kind: string,
): Promise<readonly { hostId: string; task: string; token: number }[]> => {
  const { rows } = await tx.query<{ hostId: string; task: string; token: number }>(
    `select host_id as "hostId", dispatch->>'task' as task, (dispatch->>'token')::bigint::float8 as token
     from agent_gateway.pending_tasks
     where state = 'pending' and dispatch->>'workflowId' = $1 and dispatch->>'kind' = $2 and dispatch->>'action' = 'run'`,
    [workflowId, kind],
  );
  return rows;
};
