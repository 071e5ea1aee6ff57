import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';

const vm = { vmId: '${params.vmId}', epoch: '${params.epoch}' };
const onHost: TaskDefinition['route'] = { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' };
const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
const stubborn = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };

/** What may come in to a VM from its networks is other from one packet to the next; undone, it is what it was `before`. */
export const setVmFilter: WorkflowDefinition = {
  name: 'set-filter',
  version: 1,
  summary: 'Change what may come in to a VM from its networks',
  params: {
    vmId: { type: 'string', required: true },
    hostId: { type: 'string', required: true },
    epoch: { type: 'number', required: true },
    allow: { type: 'array', required: true },
    before: { type: 'array', required: true },
  },
  tasks: [
    {
      name: 'filter',
      kind: 'host.set-filter',
      summary: 'Have its host let in what is allowed, and no more',
      input: { ...vm, allow: '${params.allow}' },
      route: onHost,
      deadlineMs: 30_000,
      retry: passing,
      compensation: {
        kind: 'host.set-filter',
        input: { ...vm, allow: '${params.before}' },
        route: onHost,
        deadlineMs: 30_000,
        retry: stubborn,
      },
    },
    {
      name: 'record',
      kind: 'vm.record-filter',
      summary: 'Record what may come in',
      input: {
        vmId: '${params.vmId}',
        topology: '${tasks.filter.output.topology}',
        topologyHash: '${tasks.filter.output.topologyHash}',
      },
      route: { mode: 'group', group: 'provisioning' },
      deadlineMs: 30_000,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { vmId: '${params.vmId}' },
};
