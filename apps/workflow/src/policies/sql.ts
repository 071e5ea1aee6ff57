import type { PolicyCause } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { Policy, PolicyScope } from '@chrysalis/workflow-core';
import type pg from 'pg';

export type PolicyRow = {
  readonly name: string;
  readonly version: number;
  readonly tenant: string;
  readonly state: Policy;
  readonly nextAt: Date | null;
  readonly lastStartedAt: Date | null;
  readonly failures: number;
  readonly lastFailure: Failure | null;
};
export type Failure = { readonly code: string; readonly message: string; readonly eventId?: string; readonly at: string };
const columns = `name, version, tenant, state, next_at as "nextAt", last_started_at as "lastStartedAt", failures::int, last_failure as "lastFailure"`;

/** Locked until the transaction ends; one that was removed has a row too, for its version. */
export const lockPolicy = async (tx: pg.PoolClient, schema: string, name: string): Promise<PolicyRow | undefined> =>
  (await tx.query<PolicyRow>(`select ${columns} from ${schema}.policies where name = $1 for update`, [name])).rows[0];

/** `nextAt`: ISO 8601; null where it has no schedule, or is not enabled. */
export const writePolicy = async (
  tx: pg.PoolClient,
  schema: string,
  p: { name: string; version: number; state: Policy; nextAt: string | null },
): Promise<void> => {
  await tx.query(
    `insert into ${schema}.policies (name, version, tenant, status, state, next_at) values ($1, $2, $3, $4, $5, $6)
     on conflict (name) do update set version = excluded.version, tenant = excluded.tenant, status = excluded.status, state = excluded.state,
       next_at = excluded.next_at`,
    [p.name, p.version, p.state.tenant, p.state.status, JSON.stringify(p.state), p.nextAt],
  );
};

export const policyOf = async (db: Queryable, schema: string, name: string, tenant: string | undefined): Promise<PolicyRow | undefined> =>
  (
    await db.query<PolicyRow>(
      `select ${columns} from ${schema}.policies where name = $1 and status <> 'removed' and ($2::text is null or tenant = $2)`,
      [name, tenant ?? null],
    )
  ).rows[0];

export const policiesAfter = async (
  db: Queryable,
  schema: string,
  page: { tenant: string | undefined; after: string; limit: number },
): Promise<PolicyRow[]> =>
  (
    await db.query<PolicyRow>(
      `select ${columns} from ${schema}.policies where status <> 'removed' and ($1::text is null or tenant = $1) and name > $2 order by name limit $3`,
      [page.tenant ?? null, page.after, page.limit],
    )
  ).rows;

/** Those that wait for events. */
export const eventPolicies = async (db: Queryable, schema: string): Promise<PolicyRow[]> =>
  (
    await db.query<PolicyRow>({
      name: `${schema}.policies_on_events`,
      text: `select ${columns} from ${schema}.policies where status = 'enabled' and state -> 'spec' -> 'on' ? 'event'`,
    })
  ).rows;

export type Due = { readonly name: string; readonly state: Policy; readonly nextAt: Date; readonly now: Date };
/** The policies with a slot that is due, or with something to start. */
export const toLookAt = async (db: Queryable, schema: string): Promise<{ due: string[]; waiting: string[] }> =>
  (
    await db.query<{ due: string[]; waiting: string[] }>({
      name: `${schema}.policies_to_look_at`,
      text: `
        select array(select name from ${schema}.policies where next_at <= clock_timestamp() order by next_at limit 100) as due,
          array(select distinct policy from ${schema}.policy_firings where state = 'waiting' limit 1000) as waiting`,
    })
  ).rows[0]!;

/** PostgreSQL's clock is everyone's. */
export const databaseNow = async (tx: pg.PoolClient): Promise<string> =>
  (await tx.query<{ now: Date }>(`select date_trunc('milliseconds', clock_timestamp()) as now`)).rows[0]!.now.toISOString();

/** A schedule's slot that is due, for this transaction alone. */
export const takeDueSlot = async (tx: pg.PoolClient, schema: string, name: string): Promise<Due | undefined> =>
  (
    await tx.query<Due>({
      name: `${schema}.policies_take_due`,
      text: `select name, state, next_at as "nextAt", date_trunc('milliseconds', clock_timestamp()) as now from ${schema}.policies
             where name = $1 and next_at <= clock_timestamp() for update skip locked`,
      values: [name],
    })
  ).rows[0];

export const setNextSlot = async (tx: pg.PoolClient, schema: string, name: string, nextAt: string | null): Promise<void> => {
  await tx.query(`update ${schema}.policies set next_at = $2 where name = $1`, [name, nextAt]);
};

export type Firing = { readonly workflowId: string; readonly policy: string; readonly cause: PolicyCause; readonly scope: PolicyScope };

/** `known`: the cause was noted before. `full`: too many wait already. */
export const noteFiring = async (db: Queryable, schema: string, f: Firing, mostWaiting: number): Promise<'noted' | 'known' | 'full'> => {
  const { rows } = await db.query<{ noted: boolean; known: boolean }>({
    name: `${schema}.policy_note`,
    text: `
      with noted as (
        insert into ${schema}.policy_firings (workflow_id, policy, cause, scope, state)
        select $1, $2, $3, $4, 'waiting' where (select count(*) from ${schema}.policy_firings where policy = $2 and state = 'waiting') < $5
        on conflict do nothing returning 1
      )
      select exists (select from noted) as noted, exists (select from ${schema}.policy_firings where workflow_id = $1) as known`,
    values: [f.workflowId, f.policy, JSON.stringify(f.cause), JSON.stringify(f.scope), mostWaiting],
  });
  const { noted, known } = rows[0]!;
  return noted ? 'noted' : known ? 'known' : 'full';
};

export const noteFailure = async (db: Queryable, schema: string, name: string, failure: Failure, times: number): Promise<void> => {
  await db.query(`update ${schema}.policies set failures = failures + $3, last_failure = $2 where name = $1`, [
    name,
    JSON.stringify(failure),
    times,
  ]);
};

/** A policy that may start something, for this transaction alone. */
export const takeEnabled = async (tx: pg.PoolClient, schema: string, name: string): Promise<(PolicyRow & { now: Date }) | undefined> =>
  (
    await tx.query<PolicyRow & { now: Date }>({
      name: `${schema}.policies_take_enabled`,
      text: `select ${columns}, clock_timestamp() as now from ${schema}.policies where status = 'enabled' and name = $1 for update skip locked`,
      values: [name],
    })
  ).rows[0];

/**
 * What the policy started and what still runs of it, after those are taken out that have ended. One that is neither an instance nor in the
 * queue was cancelled before it began, unless it has only just been handed over.
 */
export const countRunning = async (tx: pg.PoolClient, schema: string, policy: string): Promise<number> => {
  await tx.query(
    `update ${schema}.policy_firings f set state = 'ended' where policy = $1 and state = 'started' and (
       exists (select from ${schema}.instances i where i.workflow_id = f.workflow_id and i.ended_at is not null)
       or (started_at < clock_timestamp() - interval '1 minute'
         and not exists (select from ${schema}.instances i where i.workflow_id = f.workflow_id)
         and not exists (select from ${schema}.queue q where q.workflow_id = f.workflow_id)))`,
    [policy],
  );
  const { rows } = await tx.query<{ n: number }>(
    `select count(*)::int as n from ${schema}.policy_firings where policy = $1 and state = 'started'`,
    [policy],
  );
  return rows[0]!.n;
};

export const oldestWaiting = async (tx: pg.PoolClient, schema: string, policy: string, limit: number): Promise<Firing[]> =>
  (
    await tx.query<Firing>(
      `select workflow_id as "workflowId", policy, cause, scope from ${schema}.policy_firings
       where policy = $1 and state = 'waiting' order by noted_at, workflow_id limit $2`,
      [policy, limit],
    )
  ).rows;

export const setFiring = async (
  tx: pg.PoolClient,
  schema: string,
  workflowId: string,
  to: { state: 'started' } | { state: 'refused'; reason: { code: string; message: string } },
): Promise<void> => {
  await tx.query(
    `update ${schema}.policy_firings set state = $2, reason = $3, started_at = case when $2 = 'started' then clock_timestamp() end
     where workflow_id = $1`,
    [workflowId, to.state, to.state === 'refused' ? JSON.stringify(to.reason) : null],
  );
};

/** A policy that fires no more lets go of what waited. */
export const dropWaiting = async (
  tx: pg.PoolClient,
  schema: string,
  policy: string,
  reason: { code: string; message: string },
): Promise<void> => {
  await tx.query(`update ${schema}.policy_firings set state = 'refused', reason = $2 where policy = $1 and state = 'waiting'`, [
    policy,
    JSON.stringify(reason),
  ]);
};

export const startedAt = async (tx: pg.PoolClient, schema: string, policy: string, version: number): Promise<void> => {
  await tx.query(`update ${schema}.policies set version = $2, last_started_at = clock_timestamp() where name = $1`, [policy, version]);
};

export type FiringView = Pick<Firing, 'workflowId' | 'cause'> & {
  readonly state: string;
  readonly notedAt: Date;
  readonly startedAt: Date | null;
  readonly reason: object | null;
};
export const latestFirings = async (db: Queryable, schema: string, policy: string, limit: number): Promise<FiringView[]> =>
  (
    await db.query<FiringView>(
      `select workflow_id as "workflowId", cause, state, noted_at as "notedAt", started_at as "startedAt", reason
       from ${schema}.policy_firings where policy = $1 order by noted_at desc limit $2`,
      [policy, limit],
    )
  ).rows;

/** One instance at a time publishes what comes along. */
export const lockShipped = async (tx: Queryable, schema: string): Promise<void> => {
  await tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`${schema}.shipped`]);
};
