import type { WorkflowTemplate } from '@chrysalis/contracts';
import { passing, STEP_MS } from './timings.ts';

/** Reports only. What to do about a finding is an operator's to say. */
export const auditHolds: WorkflowTemplate = {
  name: 'audit-holds',
  summary: 'Name the holds whose VM or move has ended, or was never heard of',
  params: { minAgeMs: { type: 'number', required: false } },
  tasks: [
    {
      name: 'audit',
      kind: 'allocation.audit-holds',
      summary: 'Compare the ledger with who is there',
      input: { minAgeMs: '${params.minAgeMs}' },
      route: { mode: 'group', group: 'resource-allocation' },
      deadlineMs: STEP_MS,
      retry: passing,
    },
  ],
  deadlineMs: 10 * STEP_MS,
  output: {
    checked: '${tasks.audit.output.checked}',
    more: '${tasks.audit.output.more}',
    findings: '${tasks.audit.output.findings}',
  },
};
