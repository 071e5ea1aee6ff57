import type { WorkflowTemplate } from '@chrysalis/contracts';
import { LONG_MS, passing, patient, STEP_MS } from './timings.ts';

/** Ends when no VM is of the version any more, one that is being created is waited for: each becomes one of `replacement`, where it runs, or with `move` on another host. */
export const retireVmType: WorkflowTemplate = {
  name: 'retire-vm-type',
  summary: 'Make every VM of a version of a type one of its replacement, while it runs',
  params: {
    type: { type: 'string' },
    replacement: { type: 'string' },
    concurrency: { type: 'number' },
    move: { type: 'boolean', required: false },
  },
  tasks: [
    {
      name: 'change',
      kind: 'migration.run',
      summary: 'Change whoever is of the type, some at a time, until nobody is',
      input: {
        ofType: '${params.type}',
        concurrency: '${params.concurrency}',
        toType: '${params.replacement}',
        move: '${params.move}',
      },
      route: { mode: 'group', group: 'migration-templates' },
      deadlineMs: LONG_MS,
      retry: passing,
      pointOfNoReturn: true,
    },
    {
      name: 'check',
      kind: 'vm.list-of-type',
      summary: 'No VM is of the type any more',
      input: { type: '${params.type}', expectNone: true },
      after: ['change'],
      route: { mode: 'group', group: 'provisioning' },
      deadlineMs: STEP_MS,
      retry: patient,
    },
  ],
  deadlineMs: LONG_MS + 10 * STEP_MS,
  output: {
    type: '${params.type}',
    total: '${tasks.change.output.total}',
    succeeded: '${tasks.change.output.succeeded}',
    results: '${tasks.change.output.results}',
  },
};
