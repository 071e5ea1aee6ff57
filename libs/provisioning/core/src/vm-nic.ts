import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';

const vm = { vmId: '${params.vmId}', epoch: '${params.epoch}' };
const onHost: TaskDefinition['route'] = { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' };
const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
const stubborn = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };
/** A guest shows a NIC, or lets one go, in a moment; one that is busy in a minute. */
const GUEST_MS = 60_000;
const params = {
  vmId: { type: 'string', required: true },
  hostId: { type: 'string', required: true },
  epoch: { type: 'number', required: true },
} as const;

const record: TaskDefinition = {
  name: 'record',
  kind: 'vm.record-nic',
  summary: 'Record the hardware that the VM has now',
  input: { vmId: '${params.vmId}', topology: '${tasks.hardware.output.topology}', topologyHash: '${tasks.hardware.output.topologyHash}' },
  after: ['hardware'],
  route: { mode: 'group', group: 'provisioning' },
  deadlineMs: 30_000,
  retry: stubborn,
};

/** Undone by taking it out again, whatever the guest does with it by then: it was never said to have it. */
export const attachNic: WorkflowDefinition = {
  name: 'attach-nic',
  version: 1,
  summary: 'Give a VM a NIC on a network',
  params: { ...params, nic: { type: 'object', required: true } },
  tasks: [
    {
      name: 'hardware',
      kind: 'host.attach-nic',
      summary: 'Make its place on the network, plug the NIC, see it in the guest',
      input: { ...vm, nic: '${params.nic}' },
      route: onHost,
      deadlineMs: GUEST_MS,
      retry: passing,
      compensation: {
        kind: 'host.detach-nic',
        input: { ...vm, nic: '${params.nic.id}' },
        route: onHost,
        deadlineMs: GUEST_MS,
        retry: stubborn,
      },
    },
    record,
  ],
  deadlineMs: 600_000,
  output: { vmId: '${params.vmId}' },
};

/** Forward only: a guest that let go has let go, and its address may be another's a moment later. */
export const detachNic: WorkflowDefinition = {
  name: 'detach-nic',
  version: 1,
  summary: 'Take a VM from a network',
  params: { ...params, networkId: { type: 'string', required: true } },
  tasks: [
    {
      name: 'hardware',
      kind: 'host.detach-nic',
      summary: 'Have the guest let go of the NIC',
      input: { ...vm, nic: '${params.networkId}' },
      route: onHost,
      deadlineMs: GUEST_MS,
      retry: passing,
    },
    record,
  ],
  deadlineMs: 600_000,
  output: { vmId: '${params.vmId}' },
};
