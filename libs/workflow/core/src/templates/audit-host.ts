import type { TaskDefinition, WorkflowTemplate } from '@chrysalis/contracts';
import { passing, STEP_MS } from './timings.ts';

const REMOVE_MS = 120_000;
const onHost = { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' } as const;

/** Of VMs first: what a process of theirs has open is free after it. The host looks at each once more, right before. */
const removal = (name: string, kind: string, items: string, input: TaskDefinition['input'], after: string): TaskDefinition => ({
  name,
  kind,
  summary: 'Take away what was judged to be left',
  forEach: { items, concurrency: 4 },
  when: 'has(params.remove) && params.remove == true',
  input,
  after: [after],
  route: onHost,
  deadlineMs: REMOVE_MS,
  retry: passing,
});

/** What a host has is told by the host, what it is to have by the streams of VMs and their volumes and networks; only with `remove` is anything touched. */
export const auditHost: WorkflowTemplate = {
  name: 'audit-host',
  summary: 'Name what a host has of VMs and is not to have, and what it has not and is to; with `remove`, take the first away',
  params: {
    hostId: { type: 'string' },
    remove: { type: 'boolean', required: false },
    minAgeMs: { type: 'number', required: false },
  },
  tasks: [
    {
      name: 'look',
      kind: 'host.list-traces',
      summary: 'What the host has',
      input: { minAgeMs: '${params.minAgeMs}' },
      route: onHost,
      deadlineMs: 4 * STEP_MS,
      retry: passing,
      effect: 'none',
    },
    {
      name: 'judge',
      kind: 'vm.judge-traces',
      summary: 'What it is to have',
      input: {
        hostId: '${params.hostId}',
        traces: '${tasks.look.output.traces}',
        vms: '${tasks.look.output.vms}',
        pools: '${tasks.look.output.pools}',
        more: '${tasks.look.output.more}',
        minAgeMs: '${params.minAgeMs}',
      },
      route: { mode: 'group', group: 'provisioning' },
      deadlineMs: STEP_MS,
      retry: passing,
      effect: 'none',
    },
    removal(
      'remove-of-vms',
      'host.remove-vm-traces',
      '${tasks.judge.output.vms}',
      { vmId: '${item.vmId}', epoch: '${item.epoch}', traces: '${item.traces}' },
      'judge',
    ),
    removal(
      'remove-others',
      'host.remove-traces',
      '${tasks.judge.output.others}',
      { of: '${item.of}', traces: '${item.traces}' },
      'remove-of-vms',
    ),
  ],
  deadlineMs: 3_600_000,
  output: {
    hostId: '${params.hostId}',
    checked: '${tasks.judge.output.checked}',
    expected: '${tasks.judge.output.expected}',
    more: '${tasks.look.output.more}',
    findings: '${tasks.judge.output.findings}',
    removed: '${tasks.remove-of-vms.output.items}',
    removedOthers: '${tasks.remove-others.output.items}',
  },
};
