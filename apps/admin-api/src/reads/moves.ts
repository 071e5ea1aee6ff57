import type { Document, ReadModels } from './read-models.ts';
import { standingOf, type Standing } from './standing.ts';

type MoveRow = { data: Document; workflow: Document | null; version: number; tasks: readonly Document[] | null };
export type Step = {
  readonly section: string;
  readonly name: string;
  readonly kind: string;
  readonly summary: string;
  readonly state: string;
  readonly ms?: number;
};
export type Move = Document & { readonly version: number; readonly steps: readonly Step[] };

/** The moves of a migration with their steps, which are the tasks of each move's workflow. The caller has checked who may see it. */
export const movesOf = async (reads: ReadModels, migrationId: string): Promise<readonly Move[]> => {
  const { rows } = await reads.query<MoveRow>(
    `select m.data, w.data as workflow, m.version + coalesce(w.version, 0) as version,
       (select jsonb_agg(t.data order by (t.data ->> 'index')::int) from read.tasks t where t.workflow_id = m.workflow_id) as tasks
     from read.moves m left join read.workflows w on w.id = m.workflow_id
     where m.migration_id = $1 order by m.created_at, m.id`,
    [migrationId],
  );
  return rows.map(({ data, workflow, version, tasks }) => ({
    ...data,
    workflowState: workflow?.['state'],
    ...standingMember(workflow),
    version,
    steps: (tasks ?? []).map(stepOf),
  }));
};

const standingMember = (workflow: Document | null): { standing?: Standing } => {
  const standing = standingOf(workflow);
  return standing ? { standing } : {};
};

type Again = Readonly<{ migrationId: string; as: string; state: string; version: number }>;
/** Migrations that take up the rest of this one, or take its moves back. The caller has checked who may see it. */
export const againOf = async (reads: ReadModels, migrationId: string): Promise<readonly Again[]> =>
  (
    await reads.query<Again>(
      `select id as "migrationId", data #>> '{of,as}' as "as", data ->> 'state' as state, version
       from read.migrations where data #>> '{of,migrationId}' = $1 order by created_at, id`,
      [migrationId],
    )
  ).rows;

/** The move that has a VM, where it stands: it may have ended, and wait for somebody. */
export const moveOf = async (reads: ReadModels, moveId: string): Promise<Document & { readonly version: number }> => {
  const { rows } = await reads.query<Pick<MoveRow, 'data' | 'workflow' | 'version'>>(
    `select m.data, w.data as workflow, m.version + coalesce(w.version, 0) as version
     from read.moves m left join read.workflows w on w.id = m.workflow_id where m.id = $1`,
    [moveId],
  );
  const [row] = rows;
  if (!row) return { version: 0 };
  const { state, migrationId, cause } = row.data;
  return { version: row.version, migrationId, state, ...(cause ? { cause } : {}), ...standingMember(row.workflow) };
};

const stepOf = (t: Document): Step => ({
  section: (t['section'] as string | undefined) ?? 'prepare',
  name: t['task'] as string,
  kind: t['kind'] as string,
  summary: t['summary'] as string,
  state: t['state'] as string,
  ...(t['startedAt'] && t['endedAt'] ? { ms: Date.parse(t['endedAt'] as string) - Date.parse(t['startedAt'] as string) } : {}),
  ...(t['cause'] ? { cause: t['cause'] } : {}),
});

/** A migration counts moves; what a person watches are the tasks of their workflows. */
export const taskProgress = async (
  reads: ReadModels,
  migrationId: string,
): Promise<{ done: number; total: number; unit: 'tasks' } | undefined> => {
  const { rows } = await reads.query<{ done: number; total: number }>(
    `select coalesce(sum((w.data #>> '{counts,succeeded}')::int + (w.data #>> '{counts,skipped}')::int), 0)::int as done,
       coalesce(sum((w.data #>> '{counts,total}')::int), 0)::int as total
     from read.moves m join read.workflows w on w.id = m.workflow_id where m.migration_id = $1`,
    [migrationId],
  );
  const { done, total } = rows[0]!;
  return total > 0 ? { done, total, unit: 'tasks' } : undefined;
};

/** The workflows of a migration's moves. */
export const workflowsOf = async (reads: ReadModels, migrationId: string): Promise<string[]> => {
  const { rows } = await reads.query<{ workflow: string }>(`select workflow_id as workflow from read.moves where migration_id = $1`, [
    migrationId,
  ]);
  return rows.map((r) => r.workflow);
};
