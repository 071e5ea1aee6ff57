import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';

type More = Partial<TaskDefinition> & { readonly undo?: boolean };
const routes = {
  alpha: { mode: 'group', group: 'provisioning' },
  beta: { mode: 'group', group: 'resource-allocation' },
} as const;

export const step = (name: string, by: 'alpha' | 'beta', { undo = false, ...more }: More = {}): TaskDefinition => ({
  name,
  kind: `${by}.do`,
  summary: name,
  input: {},
  deadlineMs: 30_000,
  route: routes[by],
  ...(undo ? { compensation: { kind: `${by}.undo`, input: { of: name }, deadlineMs: 30_000, route: routes[by] } } : {}),
  ...more,
});

export const workflow = (tasks: TaskDefinition[], more: Partial<WorkflowDefinition> = {}): WorkflowDefinition => ({
  name: 'test',
  version: 1,
  summary: 'a test',
  params: {},
  tasks,
  deadlineMs: 120_000,
  ...more,
});
