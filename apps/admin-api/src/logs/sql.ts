import type { ReadModels } from '../reads/read-models.ts';
import type { StepInfo } from './line.ts';

export type Move = { readonly moveId: string; readonly vmId: string; readonly workflowId: string };

/** Those of the VMs that have the name. */
export const vmsNamed = async (reads: ReadModels, vmIds: readonly string[], name: string): Promise<string[]> => {
  const { rows } = await reads.query<{ id: string }>(`select id from read.vms where id = any($1) and name = $2`, [vmIds, name]);
  return rows.map((r) => r.id);
};

/** Of a migration: all, or that move, or those of that VM. */
export const movesIn = async (
  reads: ReadModels,
  { migrationId, moveId, vmId }: { readonly migrationId: string; readonly moveId?: string; readonly vmId?: string | undefined },
): Promise<Move[]> => {
  const { rows } = await reads.query<Move>(
    `select id as "moveId", vm_id as "vmId", workflow_id as "workflowId" from read.moves where migration_id = $1
       and ($2::text is null or id = $2) and ($3::text is null or vm_id = $3) order by id`,
    [migrationId, moveId ?? null, vmId ?? null],
  );
  return rows;
};

/** By the id of the task. */
export const stepsOf = async (reads: ReadModels, workflowIds: readonly string[]): Promise<Map<string, StepInfo>> => {
  const { rows } = await reads.query<{ id: string; data: StepInfo }>(`select id, data from read.tasks where workflow_id = any($1)`, [
    workflowIds,
  ]);
  return new Map(rows.map((t) => [t.id, t.data]));
};
