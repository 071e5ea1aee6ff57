import { FLEET_TENANT, type Outcome, type TaskDispatch } from '@chrysalis/contracts';
import type { RunInput, RunResults } from '@chrysalis/migration-templates-core';
import type pg from 'pg';

/** `dispatch` is the latest execution: its attempt and token are what the report carries. `migrationId`: the one under way. */
export type Run = Readonly<{
  runId: string;
  tenant: string;
  input: RunInput;
  dispatch: TaskDispatch;
  startedAt: string;
  migrationId: string | null;
  results: RunResults;
  outcome: Outcome | null;
}>;
/** Whose VMs a run may touch: its tenant's, or everybody's where it is the fleet's own. */
export const reach = ({ tenant }: Pick<Run, 'tenant'>): string | undefined => (tenant === FLEET_TENANT ? undefined : tenant);

type Row = Omit<Run, 'startedAt'> & { readonly startedAt: Date };

const columns = `run_id as "runId", tenant, input, dispatch, started_at as "startedAt", migration_id as "migrationId", results, outcome`;
const toRun = (row: Row | undefined): Run | undefined => row && { ...row, startedAt: row.startedAt.toISOString() };

/** Locked until the transaction ends. */
export const runOf = async (tx: pg.PoolClient, schema: string, runId: string): Promise<Run | undefined> =>
  toRun((await tx.query<Row>(`select ${columns} from ${schema}.runs where run_id = $1 for update`, [runId])).rows[0]);

export const runOfMigration = async (tx: pg.PoolClient, schema: string, migrationId: string): Promise<Run | undefined> =>
  toRun((await tx.query<Row>(`select ${columns} from ${schema}.runs where migration_id = $1 for update`, [migrationId])).rows[0]);

export const writeRun = async (tx: pg.PoolClient, schema: string, run: Run): Promise<void> => {
  await tx.query(
    `insert into ${schema}.runs (run_id, tenant, input, dispatch, started_at, migration_id, results, outcome)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (run_id) do update set dispatch = excluded.dispatch, migration_id = excluded.migration_id, results = excluded.results,
       outcome = excluded.outcome`,
    [
      run.runId,
      run.tenant,
      JSON.stringify(run.input),
      JSON.stringify(run.dispatch),
      run.startedAt,
      run.migrationId,
      JSON.stringify(run.results),
      run.outcome ? JSON.stringify(run.outcome) : null,
    ],
  );
};
