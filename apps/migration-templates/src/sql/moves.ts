import type { Cause, WorkflowDefinition } from '@chrysalis/contracts';
import type pg from 'pg';

type Queryable = pg.Pool | pg.PoolClient;
export type MoveRow = Readonly<{ move_id: string; migration_id: string; vm_id: string; started_at: Date | null; ended_at: Date | null }>;
export type TaskRow = Readonly<{
  move_id: string;
  task: string;
  section: string;
  kind: string;
  state: TaskState;
  started_at: Date | null;
  ended_at: Date | null;
  cause: Cause | null;
}>;
export type TaskState = 'pending' | 'running' | 'done' | 'undone' | 'failed' | 'skipped';

/** False where a move of that VM has not ended: the unique index decides, also between two at the same time. */
export const insertMove = async (
  tx: pg.PoolClient,
  schema: string,
  m: { moveId: string; migrationId: string; vmId: string },
): Promise<boolean> => {
  const { rowCount } = await tx.query(
    `insert into ${schema}.moves (move_id, migration_id, vm_id) values ($1, $2, $3) on conflict do nothing`,
    [m.moveId, m.migrationId, m.vmId],
  );
  return rowCount === 1;
};

export const insertTasks = (tx: pg.PoolClient, schema: string, moveId: string, { tasks }: WorkflowDefinition) =>
  tx.query(
    `insert into ${schema}.move_tasks (move_id, task, place, section, kind, state)
     select $1, t.task, t.place, t.section, t.kind, 'pending' from unnest($2::text[], $3::text[], $4::text[]) with ordinality as t (task, section, kind, place)
     on conflict do nothing`,
    [moveId, tasks.map((t) => t.name), tasks.map((t) => t.section ?? 'prepare'), tasks.map((t) => t.kind)],
  );

export const moveOf = async (q: Queryable, schema: string, moveId: string): Promise<MoveRow | undefined> =>
  (await q.query<MoveRow>(`select move_id, migration_id, vm_id, started_at, ended_at from ${schema}.moves where move_id = $1`, [moveId]))
    .rows[0];

export const movesOf = async (q: Queryable, schema: string, migrationId: string): Promise<MoveRow[]> =>
  (
    await q.query<MoveRow>(
      `select move_id, migration_id, vm_id, started_at, ended_at from ${schema}.moves where migration_id = $1 order by move_id`,
      [migrationId],
    )
  ).rows;

/** The VMs of these that are in a move of ours now, with that move. */
export const inMove = async (q: Queryable, schema: string, vmIds: readonly string[]): Promise<{ vmId: string; moveId: string }[]> =>
  (
    await q.query<{ vmId: string; moveId: string }>(
      `select vm_id as "vmId", move_id as "moveId" from ${schema}.moves where vm_id = any($1) and ended_at is null`,
      [vmIds],
    )
  ).rows;

export const tasksOf = async (q: Queryable, schema: string, moveIds: readonly string[]): Promise<TaskRow[]> =>
  (
    await q.query<TaskRow>(
      `select move_id, task, section, kind, state, started_at, ended_at, cause from ${schema}.move_tasks where move_id = any($1) order by move_id, place`,
      [moveIds],
    )
  ).rows;

export type TaskUpdate = Readonly<{
  moveId: string;
  task: string;
  from: readonly TaskState[];
  state: TaskState;
  startedAt?: string | undefined;
  endedAt?: string | undefined;
  cause?: Cause | undefined;
}>;

/** A task that is tried again shows its last attempt; a state that is not in `from` is not written over by a late word. */
export const updateTask = (tx: pg.PoolClient, schema: string, { moveId, task, from, ...to }: TaskUpdate) =>
  tx.query(
    `update ${schema}.move_tasks set state = $3, started_at = coalesce($4::timestamptz, started_at), ended_at = coalesce($5::timestamptz, ended_at), cause = coalesce($6::jsonb, cause)
     where move_id = $1 and task = $2 and state = any($7)`,
    [moveId, task, to.state, to.startedAt ?? null, to.endedAt ?? null, to.cause ? JSON.stringify(to.cause) : null, from],
  );

export const beginMove = (tx: pg.PoolClient, schema: string, moveId: string, at: string) =>
  tx.query(`update ${schema}.moves set started_at = coalesce(started_at, $2) where move_id = $1`, [moveId, at]);

export const endMove = async (tx: pg.PoolClient, schema: string, moveId: string, at: string): Promise<void> => {
  await tx.query(`update ${schema}.moves set ended_at = coalesce(ended_at, $2) where move_id = $1`, [moveId, at]);
  await tx.query(`update ${schema}.move_tasks set state = 'skipped' where move_id = $1 and state = 'pending'`, [moveId]);
  await tx.query(
    `update ${schema}.move_tasks set state = 'failed', ended_at = coalesce(ended_at, $2) where move_id = $1 and state = 'running'`,
    [moveId, at],
  );
};
