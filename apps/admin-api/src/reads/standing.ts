import type { Document, ReadModels } from './read-models.ts';

/** Where something stands that did not come to a good end, and what takes it on from there; `next` are commands to type. */
export type Standing = { readonly summary: string; readonly left: readonly string[]; readonly next: readonly string[] };

const again = (verb: string, id: string, task = '', reason = 'what kept it is mended'): string =>
  `chrysalis workflow ${verb} ${id} ${task && `${task} `}--reason "${reason}"`;
/** What only looks, and does nothing: whoever has looked otherwise may go on without it. */
const looks = /^verify-/;
const without = (id: string, task: string): string[] => (looks.test(task) ? [again('skip', id, task, 'it is as it should be')] : []);

/** Of a workflow's row; nothing where it goes on by itself, or left nothing behind. Pure. */
export const standingOf = (w: Document | null | undefined): Standing | undefined => {
  const { workflowId, state, missing, failed } = (w ?? {}) as Row;
  if (!missing?.length) return undefined;
  const left = missing.slice(0, SHOWN);
  switch (state) {
    case 'stopped': {
      // Without a failed one its time was over: the first in order is where it goes on.
      const from = failed?.length ? failed : missing.slice(0, 1);
      const summary = `past its point of no return, so what was done stays; not done: ${listed(missing)}`;
      return { summary, left, next: from.flatMap((task) => [again('retry-from', workflowId, task), ...without(workflowId, task)]) };
    }
    case 'failed': {
      const summary = `it was to be undone, and ${failed?.length ? `undoing ${listed(failed)} failed` : 'that was given up'}; left: ${listed(missing)}`;
      return { summary, left, next: [again('undo', workflowId)] };
    }
    case 'cancelled':
      return { summary: `it was given up, and nothing undone; left: ${listed(missing)}`, left, next: [again('undo', workflowId)] };
    default:
      return undefined;
  }
};
type Row = { workflowId: string; state?: string; missing?: readonly string[]; failed?: readonly string[] };
const SHOWN = 100;
const NAMED = 8;
const listed = (names: readonly string[]): string =>
  names.length <= NAMED ? names.join(', ') : `${names.slice(0, NAMED).join(', ')} and ${names.length - NAMED} more`;

/** Of a workflow by its id, or of all moves of a migration together. The caller has checked who may see it. */
export const standingIn = async (reads: ReadModels, id: string): Promise<Standing | undefined> => {
  const { rows } = await reads.query<{ data: Document; vm: string | null }>(
    `select w.data, m.vm_id as vm from read.workflows w left join read.moves m on m.workflow_id = w.id
     where (w.id = $1 or m.migration_id = $1) and w.state in ('stopped', 'failed', 'cancelled') order by w.id limit 100`,
    [id],
  );
  const all = rows.flatMap(({ data, vm }) => {
    const standing = standingOf(data);
    return standing ? [{ ...standing, summary: vm === null || rows.length === 1 ? standing.summary : `${vm}: ${standing.summary}` }] : [];
  });
  if (all.length === 0) return undefined;
  return { summary: all.map((s) => s.summary).join('; '), left: all.flatMap((s) => s.left), next: all.flatMap((s) => s.next) };
};
