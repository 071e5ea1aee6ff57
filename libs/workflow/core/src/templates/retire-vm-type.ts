import type { WorkflowTemplate } from '@chrysalis/contracts';
import { LONG_MS, passing, patient, STEP_MS } from './parts.ts';

/** Ends when no VM is of the version any more: each becomes one of `replacement`, where it runs, or with `move` on another host. */
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
      name: 'list',
      kind: 'vm.list-of-type',
      summary: 'Which VMs are of the type',
      input: { type: '${params.type}' },
      route: { mode: 'group', group: 'provisioning' },
      deadlineMs: STEP_MS,
      retry: passing,
    },
    {
      name: 'change',
      kind: 'migration.run',
      summary: 'Change them, some at a time',
      input: {
        vmIds: '${tasks.list.output.vmIds}',
        concurrency: '${params.concurrency}',
        toType: '${params.replacement}',
        move: '${params.move}',
      },
      when: 'size(tasks.list.output.vmIds) > 0',
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
