import type { Change as Wanted, TaskDefinition, WorkflowDefinition, workflowEvents } from '@chrysalis/contracts';
import type { z } from 'zod';
import { merge, type Change, type Document } from '../projection.ts';
import type { Recorded } from '../recorded.ts';
import { redact } from '../redact.ts';

type Changed = z.infer<(typeof workflowEvents.instanceChanged)['schema']>;

/** What an end had said, where there is none any more. */
export const goesOn = { endedAt: undefined, missing: undefined, failed: undefined, output: undefined, paused: undefined } as const;

/** What an operator's change does to the rows of a workflow, its operation, its graph and its tasks. */
export const changed = (
  { workflowId, change, actor, reason, at, effect }: Changed,
  { version }: Pick<Recorded, 'version'>,
): readonly Change[] => {
  const standing = (before: Document): Document => ({
    lastChange: { type: change.type, actor, reason, at },
    ...(change.type === 'pause' ? { paused: true } : change.type === 'resume' ? { paused: undefined } : {}),
    ...(effect ? { deadlineAt: effect.deadlineAt } : {}),
    ...(effect?.counts.failed === 0 ? { cause: undefined } : {}),
    ...(before['state'] === 'stopped' ? { ...goesOn, state: 'running', cause: undefined } : {}),
  });
  const rows = new Map<string, Document>((effect?.again ?? []).map((task) => [task, waiting]));
  for (const [task, members] of touched(change, at, version)) rows.set(task, { ...rows.get(task), ...members });
  return [
    merge('workflows', workflowId, (before) => ({ ...standing(before), ...(effect ? { counts: effect.counts } : {}) })),
    merge('operations', workflowId, (before) => ({
      ...standing(before),
      ...(effect ? { progress: progressOf(before, effect.counts) } : {}),
    })),
    merge('workflow_graphs', workflowId, ({ definition }) =>
      definition ? { definition: edited(definition as WorkflowDefinition, change) } : {},
    ),
    ...[...rows].map(([task, members]) => merge('tasks', `${workflowId}/${task}`, { workflowId, task, ...members })),
  ];
};

const waiting: Document = {
  state: 'pending',
  startedAt: undefined,
  endedAt: undefined,
  output: undefined,
  cause: undefined,
  reason: undefined,
  retryAt: undefined,
  offer: undefined,
};

const progressOf = ({ progress }: Document, { succeeded, skipped, total }: NonNullable<Changed['effect']>['counts']): Document => ({
  ...(progress as Document),
  done: succeeded + skipped,
  total,
});

/** Tasks that the change itself says something of. What is added comes behind what was there. */
const touched = (change: Wanted, at: string, version: number): readonly (readonly [string, Document])[] => {
  const added = (t: TaskDefinition): Document => ({ ...shown(t), index: 100_000 + version, state: 'pending' });
  switch (change.type) {
    case 'add-task':
      return [[change.task.name, added(change.task)]];
    case 'duplicate-task':
      return [[change.as, { index: 100_000 + version, summary: `like ${change.task}`, state: 'pending' }]];
    case 'replace-task':
      return [[change.task, shown(change.with)]];
    case 'skip-task':
      return [[change.task, { state: 'skipped', reason: 'skipped by an operator', endedAt: at, cause: undefined }]];
    case 'mark-done':
      return [[change.task, { state: 'succeeded', output: redact(change.output), endedAt: at, cause: undefined }]];
    default:
      return [];
  }
};
const shown = ({ kind, summary, section }: TaskDefinition): Document => ({ kind, summary, section });

/** The definition as a reader of the graph is shown it. */
const edited = (definition: WorkflowDefinition, change: Wanted): WorkflowDefinition => {
  const { tasks } = definition;
  const edit = (name: string, f: (t: TaskDefinition) => TaskDefinition): WorkflowDefinition => ({
    ...definition,
    tasks: tasks.map((t) => (t.name === name ? f(t) : t)),
  });
  switch (change.type) {
    case 'add-task': {
      const waits = tasks.map((t) => (change.before?.includes(t.name) ? { ...t, after: [...(t.after ?? []), change.task.name] } : t));
      return { ...definition, tasks: [...waits, change.task] };
    }
    case 'duplicate-task': {
      const copied = tasks.find((t) => t.name === change.task);
      return copied
        ? { ...definition, tasks: [...tasks, { ...copied, name: change.as, route: change.route ?? copied.route }] }
        : definition;
    }
    case 'replace-task':
      return edit(change.task, () => change.with);
    case 'rewire':
      return edit(change.task, (t) => ({ ...t, input: change.input ?? t.input, ...(change.after ? { after: change.after } : {}) }));
    case 'reassign':
      return edit(change.task, (t) => ({ ...t, route: change.route }));
    default:
      return definition;
  }
};
