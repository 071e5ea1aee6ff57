import { AGE_MS, type Running } from '@chrysalis/workflow-core';
import type pg from 'pg';

export type QueuedRow = {
  readonly workflowId: string;
  readonly name: string;
  readonly version: number;
  readonly tenant: string;
  readonly subject: string;
  readonly priority: number;
  readonly key: string | null;
  readonly queuedAt: string;
  readonly expiresAt: string;
  readonly state: 'waiting' | 'starting';
  /** Among its tenant's, from 1. Another kind's may still go first where this one's is full. */
  readonly position: number;
};

/** Those that go first before the others: by level, and on one level by age. `tenant` absent: of all. */
export const listQueue = async (
  pool: pg.Pool,
  schema: string,
  { tenant, from, limit }: { tenant: string | undefined; from: number; limit: number },
): Promise<QueuedRow[]> =>
  (
    await pool.query<QueuedRow>(
      `select workflow_id as "workflowId", name, version, tenant, subject, priority, key,
         to_char(queued_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "queuedAt",
         to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "expiresAt",
         case when admitted_at is null then 'waiting' else 'starting' end as state,
         (row_number() over (partition by tenant order by admitted_at is null, rank, workflow_id))::int as position
       from ${schema}.queue where $1::text is null or tenant = $1
       order by admitted_at is null, floor((extract(epoch from now()) * 1000 - rank) / ${AGE_MS}) desc, rank, workflow_id offset $2 limit $3`,
      [tenant ?? null, from, limit],
    )
  ).rows;

/** Instances that have not ended. */
export const runningByTenantAndKind = async (pool: pg.Pool, schema: string): Promise<Running[]> =>
  (
    await pool.query<Running>(
      `select i.tenant, i.name as kind, count(*)::int as count from ${schema}.timers join ${schema}.instances i using (workflow_id)
       where i.ended_at is null group by 1, 2 order by 1, 2`,
    )
  ).rows;
