import type { Document, ReadModels } from './read-models.ts';

/** Of a workflow, in its order. */
export const tasksOf = async (reads: ReadModels, workflowId: string): Promise<Document[]> => {
  const { rows } = await reads.query<{ data: Document }>(
    `select data from read.tasks where workflow_id = $1 order by (data ->> 'index')::int`,
    [workflowId],
  );
  return rows.map((r) => r.data);
};
