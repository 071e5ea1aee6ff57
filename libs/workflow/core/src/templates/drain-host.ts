import type { WorkflowTemplate } from '@chrysalis/contracts';
import { LONG_MS, passing, patient, STEP_MS } from './timings.ts';

/**
 * Ends when nothing holds on the host any more, and goes on until then: who is being created there or is in another move is waited for.
 * Who cannot go is named with the reason, and `check` then stops the workflow: VMs that have moved stay where they are.
 */
export const drainHost: WorkflowTemplate = {
  name: 'drain-host',
  summary: 'Move every VM off a host that takes no new ones, as it is, to wherever it fits',
  params: { hostId: { type: 'string' }, concurrency: { type: 'number' } },
  tasks: [
    {
      name: 'closed',
      kind: 'allocation.list-on-host',
      summary: 'The host takes nothing new',
      input: { hostId: '${params.hostId}', expectClosed: true },
      route: { mode: 'group', group: 'resource-allocation' },
      deadlineMs: STEP_MS,
      retry: passing,
    },
    {
      name: 'move',
      kind: 'migration.run',
      summary: 'Move whoever holds there live, some at a time, until nobody does',
      input: { hostId: '${params.hostId}', since: '${tasks.closed.output.generation}', concurrency: '${params.concurrency}' },
      route: { mode: 'group', group: 'migration-templates' },
      deadlineMs: LONG_MS,
      retry: passing,
      pointOfNoReturn: true,
    },
    {
      name: 'check',
      kind: 'allocation.list-on-host',
      summary: 'Nothing holds on the host any more',
      input: { hostId: '${params.hostId}', expectClosed: true, expectEmpty: true, left: '${tasks.move.output.left}' },
      after: ['move'],
      route: { mode: 'group', group: 'resource-allocation' },
      deadlineMs: STEP_MS,
      retry: patient,
    },
  ],
  deadlineMs: LONG_MS + 10 * STEP_MS,
  output: {
    hostId: '${params.hostId}',
    total: '${tasks.move.output.total}',
    succeeded: '${tasks.move.output.succeeded}',
    results: '${tasks.move.output.results}',
  },
};
