import type { TaskDispatch } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type pg from 'pg';

/** A move that waits, with the task that is to be answered. */
export type Waiting = Readonly<{
  moveId: string;
  migrationId: string;
  tenant: string;
  dispatch: TaskDispatch;
  correlationId: string;
  startedAt: string;
}>;
type Row = Omit<Waiting, 'startedAt'> & { readonly startedAt: Date };
const columns = `move_id as "moveId", migration_id as "migrationId", tenant, dispatch, correlation_id as "correlationId", started_at as "startedAt"`;
const rowsOf = async (tx: pg.PoolClient, sql: string, values: readonly unknown[] = []): Promise<Waiting[]> =>
  (await tx.query<Row>(sql, [...values])).rows.map((row) => ({ ...row, startedAt: row.startedAt.toISOString() }));

/** A later execution of the task is the one that is answered. */
export const insertWaiting = (tx: pg.PoolClient, schema: string, w: Waiting, dueAt: string) =>
  tx.query(
    `insert into ${schema}.approvals (move_id, migration_id, tenant, dispatch, correlation_id, started_at, due_at) values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (move_id) do update set dispatch = excluded.dispatch`,
    [w.moveId, w.migrationId, w.tenant, JSON.stringify(w.dispatch), w.correlationId, w.startedAt, dueAt],
  );

/** Taken by the transaction that answers it. */
export const takeWaiting = async (tx: pg.PoolClient, schema: string, moveId: string): Promise<Waiting | undefined> =>
  (await rowsOf(tx, `delete from ${schema}.approvals where move_id = $1 returning ${columns}`, [moveId]))[0];

export const waitingOf = async (tx: pg.PoolClient, schema: string, moveId: string): Promise<Waiting | undefined> =>
  (await rowsOf(tx, `select ${columns} from ${schema}.approvals where move_id = $1`, [moveId]))[0];

/** Until this transaction ends nobody else asks, answers or closes anything of that migration. */
export const oneAnswerAtATime = (tx: pg.PoolClient, schema: string, migrationId: string) =>
  tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`${schema}.approvals.${migrationId}`]);

/** One whose time is up. Two instances that look at the same one answer it once: see `oneAnswerAtATime`. */
export const dueWaiting = async (tx: pg.PoolClient, schema: string): Promise<Waiting | undefined> =>
  (await rowsOf(tx, `select ${columns} from ${schema}.approvals where due_at <= clock_timestamp() order by due_at limit 1`))[0];

export const putOffWaiting = (q: Queryable, schema: string, moveId: string, afterMs: number) =>
  q.query(`update ${schema}.approvals set due_at = clock_timestamp() + $2 * interval '1 ms' where move_id = $1`, [moveId, afterMs]);
