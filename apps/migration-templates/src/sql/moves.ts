import type { Cause, WorkflowDefinition } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { Route } from '@chrysalis/migration-templates-core';
import type pg from 'pg';

export type MoveRow = Readonly<{
  move_id: string;
  migration_id: string;
  vm_id: string;
  started_at: Date | null;
  ended_at: Date | null;
  /** What it ended as. */
  state: 'succeeded' | 'undone' | 'failed' | null;
}>;
const columns = 'move_id, migration_id, vm_id, started_at, ended_at, state';
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
  m: { moveId: string; migrationId: string; vmId: string; fromHost: string; toHost: string },
): Promise<boolean> => {
  const { rowCount } = await tx.query(
    `insert into ${schema}.moves (move_id, migration_id, vm_id, from_host, to_host) values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [m.moveId, m.migrationId, m.vmId, m.fromHost, m.toHost],
  );
  return rowCount === 1;
};

/** Until this transaction ends no other set that counts what is under way begins a move. */
export const oneSetAtATime = (tx: pg.PoolClient, schema: string) =>
  tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`${schema}.sets`]);

/** Where moves of other migrations run; those of before that was kept are left out. */
export const runningOfOthers = async (q: Queryable, schema: string, migrationId: string): Promise<Route[]> =>
  (
    await q.query<Route>(
      `select from_host as "fromHost", to_host as "toHost" from ${schema}.moves
       where ended_at is null and migration_id <> $1 and from_host is not null`,
      [migrationId],
    )
  ).rows;

export const insertTasks = (tx: pg.PoolClient, schema: string, moveId: string, { tasks }: WorkflowDefinition) =>
  tx.query(
    `insert into ${schema}.move_tasks (move_id, task, place, section, kind, state)
     select $1, t.task, t.place, t.section, t.kind, 'pending' from unnest($2::text[], $3::text[], $4::text[]) with ordinality as t (task, section, kind, place)
     on conflict do nothing`,
    [moveId, tasks.map((t) => t.name), tasks.map((t) => t.section ?? 'prepare'), tasks.map((t) => t.kind)],
  );

export const moveOf = async (q: Queryable, schema: string, moveId: string): Promise<MoveRow | undefined> =>
  (await q.query<MoveRow>(`select ${columns} from ${schema}.moves where move_id = $1`, [moveId])).rows[0];

/** The VMs of these that are in a move of ours now, with that move. */
export const inMove = async (q: Queryable, schema: string, vmIds: readonly string[]): Promise<{ vmId: string; moveId: string }[]> =>
  (
    await q.query<{ vmId: string; moveId: string }>(
      `select vm_id as "vmId", move_id as "moveId" from ${schema}.moves where vm_id = any($1) and ended_at is null`,
      [vmIds],
    )
  ).rows;

export type MoveOfVm = Readonly<{ moveId: string; vmId: string; state: MoveRow['state'] }>;
/** Moves by their ids, and those of these VMs that have not ended. */
export const movesAround = async (
  q: Queryable,
  schema: string,
  moveIds: readonly string[],
  vmIds: readonly string[],
): Promise<MoveOfVm[]> =>
  (
    await q.query<MoveOfVm>(
      `select move_id as "moveId", vm_id as "vmId", case when ended_at is not null then coalesce(state, 'failed') end as state
       from ${schema}.moves where move_id = any($1) or (vm_id = any($2) and ended_at is null)`,
      [moveIds, vmIds],
    )
  ).rows;

/** How many moves of each of these VMs, of migrations begun since, were undone. By this service's own clock. */
export const undoneSince = async (q: Queryable, schema: string, vmIds: readonly string[], since: string): Promise<Map<string, number>> =>
  new Map(
    (
      await q.query<{ vmId: string; n: string }>(
        `select vm_id as "vmId", count(*) as n from ${schema}.moves join ${schema}.migrations using (migration_id)
         where vm_id = any($1) and state = 'undone' and at >= $2 group by vm_id`,
        [vmIds, since],
      )
    ).rows.map((r) => [r.vmId, Number(r.n)]),
  );

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

/** Tasks that did not begin stay `pending`: where the move goes on they may still run. */
export const endMove = async (
  tx: pg.PoolClient,
  schema: string,
  { moveId, state, at }: { moveId: string; state: NonNullable<MoveRow['state']>; at: string },
): Promise<void> => {
  await tx.query(`update ${schema}.moves set ended_at = coalesce(ended_at, $2), state = $3 where move_id = $1`, [moveId, at, state]);
  await tx.query(
    `update ${schema}.move_tasks set state = 'failed', ended_at = coalesce(ended_at, $2) where move_id = $1 and state = 'running'`,
    [moveId, at],
  );
};

/** It runs again, and has its VM again, unless another move has got that meanwhile: then it only may not begin a third one. */
export const resumeMove = (tx: pg.PoolClient, schema: string, moveId: string) =>
  tx.query(
    `update ${schema}.moves m set ended_at = null, state = null where move_id = $1
       and not exists (select from ${schema}.moves o where o.vm_id = m.vm_id and o.ended_at is null and o.move_id <> m.move_id)`,
    [moveId],
  );

/** Tasks as an operator's change leaves them: from there on they are told of like any other. */
export const setTasks = (tx: pg.PoolClient, schema: string, moveId: string, tasks: readonly string[], state: TaskState) =>
  tx.query(
    `update ${schema}.move_tasks set state = $3, cause = null,
       started_at = case $3 when 'pending' then null else started_at end, ended_at = case $3 when 'pending' then null else ended_at end
     where move_id = $1 and task = any($2)`,
    [moveId, tasks, state],
  );

type Added = Readonly<{ task: string; section: string | null; kind: string | null; like?: string }>;
/** Behind those that there are; `like` another one where the change says no more. */
export const addTask = (tx: pg.PoolClient, schema: string, moveId: string, { task, section, kind, like }: Added) =>
  tx.query(
    `insert into ${schema}.move_tasks (move_id, task, place, section, kind, state)
     select $1, $2, (select coalesce(max(place), 0) + 1 from ${schema}.move_tasks where move_id = $1),
       coalesce($3, l.section, 'prepare'), coalesce($4, l.kind, ''), 'pending'
     from (select) x left join ${schema}.move_tasks l on l.move_id = $1 and l.task = $5
     where exists (select from ${schema}.moves where move_id = $1)
     on conflict (move_id, task) do update set kind = excluded.kind, section = excluded.section`,
    [moveId, task, section, kind, like ?? null],
  );
