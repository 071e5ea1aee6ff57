import type { WorkflowTemplate } from '@chrysalis/contracts';
import { LONG_MS, passing, patient, STEP_MS } from './parts.ts';

/**
 * Ends when nothing holds on the host any more. What cannot go is named in the outcome of `move`, and `check` then stops the workflow: VMs
 * that have moved stay where they are.
 */
export const drainHost: WorkflowTemplate = {
  name: 'drain-host',
  summary: 'Move every VM off a host, as it is, to wherever it fits',
  params: { hostId: { type: 'string' }, concurrency: { type: 'number' } },
  tasks: [
    {
      name: 'list',
      kind: 'allocation.list-on-host',
      summary: 'Which VMs hold on the host',
      input: { hostId: '${params.hostId}' },
      route: { mode: 'group', group: 'resource-allocation' },
      deadlineMs: STEP_MS,
      retry: passing,
    },
    {
      name: 'move',
      kind: 'migration.run',
      summary: 'Move them live, some at a time',
      input: { vmIds: '${tasks.list.output.vmIds}', concurrency: '${params.concurrency}', notHost: '${params.hostId}' },
      when: 'size(tasks.list.output.vmIds) > 0',
      route: { mode: 'group', group: 'migration-templates' },
      deadlineMs: LONG_MS,
      retry: passing,
      pointOfNoReturn: true,
    },
    {
      name: 'check',
      kind: 'allocation.list-on-host',
      summary: 'Nothing holds on the host any more',
      input: { hostId: '${params.hostId}', expectEmpty: true },
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
