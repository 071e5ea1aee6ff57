import type pg from 'pg';

export type ListQuery = {
  /** Absent: of every tenant. */
  readonly tenant?: string | undefined;
  readonly state?: string | undefined;
  readonly subject?: string | undefined;
  readonly name?: string | undefined;
  readonly after?: { readonly startedAt: string; readonly workflowId: string } | undefined;
  readonly limit: number;
};
export type ListedWorkflow = {
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

/** The latest first. Times are ISO 8601 in UTC, to the microsecond, so that they serve as a cursor. */
export const listInstances = async (pool: pg.Pool, schema: string, q: ListQuery): Promise<ListedWorkflow[]> => {
  const { rows } = await pool.query<ListedWorkflow>(
    `select workflow_id as "workflowId", name, version, subject, tenant, state, cause_code as "causeCode", tasks,
       to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "startedAt",
       to_char(ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "endedAt"
     from ${schema}.instances
     where ($1::text is null or tenant = $1) and ($2::text is null or state = $2) and ($3::text is null or subject = $3)
       and ($4::text is null or name = $4) and ($5::timestamptz is null or (started_at, workflow_id) < ($5, $6::text))
     order by started_at desc, workflow_id desc limit $7`,
    [
      q.tenant ?? null,
      q.state ?? null,
      q.subject ?? null,
      q.name ?? null,
      q.after?.startedAt ?? null,
      q.after?.workflowId ?? null,
      q.limit,
    ],
  );
  return rows;
};
