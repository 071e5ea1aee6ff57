import { FLEET_TENANT, type Cause, type Outcome, type TaskDispatch } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { RunInput, RunResults } from '@chrysalis/migration-templates-core';
import type pg from 'pg';

/** `dispatch` is the latest execution: its attempt and token are what the report carries. `migrationId`: the one under way. */
export type Run = Readonly<{
  runId: string;
  tenant: string;
  input: RunInput;
  dispatch: TaskDispatch;
  startedAt: string;
  correlationId: string;
  migrationId: string | null;
  results: RunResults;
  /** Since when it waits for what should settle by itself, by who that is. */
  settling: Readonly<Record<string, string>>;
  /** Why no further move begins; it ends when those under way have. */
  stop: Cause | null;
  outcome: Outcome | null;
}>;
/** Whose VMs a run may touch: its tenant's, or everybody's where it is the fleet's own. */
export const reach = ({ tenant }: Pick<Run, 'tenant'>): string | undefined => (tenant === FLEET_TENANT ? undefined : tenant);

type Row = Omit<Run, 'startedAt'> & { readonly startedAt: Date };

const columns = `run_id as "runId", tenant, input, dispatch, started_at as "startedAt", coalesce(correlation_id, run_id) as "correlationId",
  migration_id as "migrationId", results, settling, stop, outcome`;
const toRun = (row: Row): Run => ({ ...row, startedAt: row.startedAt.toISOString() });
const rowsOf = async (tx: pg.PoolClient, sql: string, values: readonly unknown[]): Promise<Run[]> =>
  (await tx.query<Row>(sql, [...values])).rows.map(toRun);

// Each of these has its rows locked until the transaction ends.

export const runOf = async (tx: pg.PoolClient, schema: string, runId: string): Promise<Run | undefined> =>
  (await rowsOf(tx, `select ${columns} from ${schema}.runs where run_id = $1 for update`, [runId]))[0];

export const runOfMigration = async (tx: pg.PoolClient, schema: string, migrationId: string): Promise<Run | undefined> =>
  (await rowsOf(tx, `select ${columns} from ${schema}.runs where migration_id = $1 for update`, [migrationId]))[0];

export const openRunsOf = (tx: pg.PoolClient, schema: string, workflowId: string): Promise<Run[]> =>
  rowsOf(tx, `select ${columns} from ${schema}.runs where dispatch ->> 'workflowId' = $1 and outcome is null order by run_id for update`, [
    workflowId,
  ]);

/** One that is to be looked at, and that no other instance looks at now. PostgreSQL's clock is everyone's. */
export const dueRun = async (tx: pg.PoolClient, schema: string): Promise<Run | undefined> =>
  (
    await rowsOf(
      tx,
      `select ${columns} from ${schema}.runs where look_at <= clock_timestamp() and outcome is null order by look_at limit 1 for update skip locked`,
      [],
    )
  )[0];

/** While it has not ended somebody looks at it each second: not all that it waits for is told to it. */
const EVERY_MS = 1_000;

export const postpone = (q: Queryable, schema: string, runId: string, afterMs = EVERY_MS) =>
  q.query(`update ${schema}.runs set look_at = clock_timestamp() + $2 * interval '1 ms' where run_id = $1`, [runId, afterMs]);

/** A run of the same host that began earlier and goes on. */
export const earlierDrain = async (tx: pg.PoolClient, schema: string, { runId, startedAt, input }: Run): Promise<string | undefined> =>
  (
    await tx.query<{ workflowId: string }>(
      `select dispatch ->> 'workflowId' as "workflowId" from ${schema}.runs
       where outcome is null and input ->> 'hostId' = $1 and (started_at, run_id) < ($2, $3) order by started_at, run_id limit 1`,
      [input.hostId, startedAt, runId],
    )
  ).rows[0]?.workflowId;

export const writeRun = async (tx: pg.PoolClient, schema: string, run: Run): Promise<void> => {
  await tx.query(
    `insert into ${schema}.runs (run_id, tenant, input, dispatch, started_at, correlation_id, migration_id, results, settling, stop, outcome, look_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp() + ${EVERY_MS} * interval '1 ms')
     on conflict (run_id) do update set dispatch = excluded.dispatch, started_at = excluded.started_at, migration_id = excluded.migration_id,
       results = excluded.results, settling = excluded.settling, stop = excluded.stop, outcome = excluded.outcome, look_at = excluded.look_at`,
    valuesOf(run),
  );
};

/** Heard of before its executor has it: kept so that a wish to cancel finds it, and begun by its task alone. */
export const noteRun = async (tx: pg.PoolClient, schema: string, run: Run): Promise<void> => {
  await tx.query(
    `insert into ${schema}.runs (run_id, tenant, input, dispatch, started_at, correlation_id, migration_id, results, settling, stop, outcome)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing`,
    valuesOf(run),
  );
};

const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));
const valuesOf = (run: Run): unknown[] => [
  run.runId,
  run.tenant,
  json(run.input),
  json(run.dispatch),
  run.startedAt,
  run.correlationId,
  run.migrationId,
  json(run.results),
  json(run.settling),
  json(run.stop),
  json(run.outcome),
];
