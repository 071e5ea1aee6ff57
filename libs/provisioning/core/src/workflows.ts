import type { Retry, Route, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import type { z } from 'zod';

type RetryPolicy = z.infer<typeof Retry>;
const group = (name: Extract<Route, { mode: 'group' }>['group']): Route => ({ mode: 'group', group: name });
const host = (reference: string): Route => ({ mode: 'direct', group: 'agent-gateway', executor: `host:${reference}` });
const passing: RetryPolicy = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
const stubborn: RetryPolicy = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };
const vm = { kind: 'vm', id: '${params.vmId}' };

type Provision = { pinned: boolean; disk?: boolean; seed?: boolean; segments?: boolean; uefi?: boolean };
/**
 * From a request to a running VM. Compensations name only what is known before their task ran: a task that failed or timed out is
 * undone as well, since it may have had its effect.
 */
export const provisionVm = (o: Provision): WorkflowDefinition => ({
  name: 'provision-vm',
  version: 1,
  summary: 'Choose a host, hold what the VM needs, start it',
  params: {
    vmId: { type: 'string', required: true },
    uuid: { type: 'string', required: true },
    tenant: { type: 'string', required: true },
    spec: { type: 'object', required: true },
    amounts: { type: 'object', required: true },
    image: { type: 'object', required: true },
    nics: { type: 'array', required: true },
    networks: { type: 'array', required: true },
    pool: { type: 'string', required: true },
    room: { type: 'array', required: true },
    ...(o.pinned ? { host: { type: 'string', required: true } as const } : {}),
    ...(o.segments ? { segmentMtu: { type: 'number', required: true } as const } : {}),
    ...(o.seed ? { seed: { type: 'object', required: true } as const } : {}),
  },
  tasks: [place(o), recordPlacement, seeded(o.disk ? bootDisk : boot, o), recordBoot],
  deadlineMs: o.disk ? 1_800_000 : 600_000,
  output: { vmId: '${params.vmId}', hostId: '${tasks.place.output.hostId}' },
});

const place = (o: Provision): TaskDefinition => ({
  name: 'place',
  kind: 'allocation.place',
  summary: 'Choose a host and hold capacity there',
  input: {
    consumer: vm,
    vmId: '${params.vmId}',
    amounts: '${params.amounts}',
    cpuModel: '${params.spec.cpuModel}',
    traits: '${params.spec.requiredTraits}',
    networks: '${params.networks}',
    ...(o.segments ? { segmentMtu: '${params.segmentMtu}' } : {}),
    ...(o.uefi ? { firmware: '${params.image.disk.firmware}' } : {}),
    pools: ['${params.pool}'],
    room: '${params.room}',
    ...(o.pinned ? { host: '${params.host}' } : {}),
  },
  route: group('resource-allocation'),
  deadlineMs: 30_000,
  retry: passing,
  compensation: {
    kind: 'allocation.release',
    input: { consumer: vm, vmId: '${params.vmId}', reason: 'not provisioned' },
    route: group('resource-allocation'),
    deadlineMs: 30_000,
    retry: stubborn,
  },
});

const recordPlacement: TaskDefinition = {
  name: 'record-placement',
  kind: 'vm.record-placement',
  summary: "Record the VM's host and first epoch",
  input: { vmId: '${params.vmId}', hostId: '${tasks.place.output.hostId}' },
  route: group('provisioning'),
  deadlineMs: 30_000,
  retry: passing,
  compensation: {
    kind: 'vm.fail-provisioning',
    input: { vmId: '${params.vmId}' },
    route: group('provisioning'),
    deadlineMs: 30_000,
    retry: stubborn,
  },
};

const onHost = host('${tasks.place.output.hostId}');
const boot: TaskDefinition = {
  name: 'boot',
  kind: 'host.boot-vm',
  summary: 'Make the volumes, start the VM, wait for the guest',
  input: {
    vmId: '${params.vmId}',
    epoch: '${tasks.record-placement.output.epoch}',
    uuid: '${params.uuid}',
    tenant: '${params.tenant}',
    spec: '${params.spec}',
    image: '${params.image}',
    nics: '${params.nics}',
    pool: '${params.pool}',
    allocation: '${tasks.place.output.allocation}',
    waitForGuest: true,
  },
  route: onHost,
  deadlineMs: 180_000,
  retry: { attempts: 2, backoffMs: 1_000 },
  compensation: {
    kind: 'host.destroy-vm',
    input: { vmId: '${params.vmId}', epoch: '${tasks.record-placement.output.epoch}', deleteVolumes: true },
    route: onHost,
    deadlineMs: 60_000,
    retry: stubborn,
  },
};

/** Of an image that is a disk: that is copied, which may take minutes, and whether its guest has an agent nobody knows. */
const bootDisk: TaskDefinition = {
  ...boot,
  summary: 'Copy the image to a root disk, make the other volumes, start the VM',
  input: { ...boot.input, waitForGuest: false },
  deadlineMs: 900_000,
};

const seeded = (task: TaskDefinition, o: { seed?: boolean }): TaskDefinition =>
  o.seed ? { ...task, input: { ...task.input, seed: '${params.seed}' } } : task;

const recordBoot: TaskDefinition = {
  name: 'record-boot',
  kind: 'vm.record-boot',
  summary: 'Record that the VM runs, and its hardware',
  input: {
    vmId: '${params.vmId}',
    epoch: '${tasks.record-placement.output.epoch}',
    hostId: '${tasks.place.output.hostId}',
    topology: '${tasks.boot.output.topology}',
    topologyHash: '${tasks.boot.output.topologyHash}',
    at: '${tasks.boot.output.bootedAt}',
  },
  route: group('provisioning'),
  deadlineMs: 30_000,
  retry: passing,
};

/** Forward only: what is deleted does not come back. A VM that never ran, or was undone, has nothing on a host. */
export const deleteVm = (o: { onHost: boolean }): WorkflowDefinition => ({
  name: 'delete-vm',
  version: 1,
  summary: 'End the VM, delete its own disks, let go of what it holds',
  params: {
    vmId: { type: 'string', required: true },
    ...(o.onHost ? { hostId: { type: 'string', required: true } as const, epoch: { type: 'number', required: true } as const } : {}),
  },
  tasks: [...(o.onHost ? [destroy] : []), release(o.onHost), recordDeleted],
  deadlineMs: 600_000,
  output: { vmId: '${params.vmId}' },
});

const destroy: TaskDefinition = {
  name: 'destroy',
  kind: 'host.destroy-vm',
  summary: 'End QEMU and delete the volumes',
  input: { vmId: '${params.vmId}', epoch: '${params.epoch}', deleteVolumes: true },
  route: host('${params.hostId}'),
  deadlineMs: 60_000,
  retry: stubborn,
};
const release = (after: boolean): TaskDefinition => ({
  name: 'release',
  kind: 'allocation.release',
  summary: 'Let go of what the VM holds',
  input: { consumer: vm, vmId: '${params.vmId}', reason: 'deleted' },
  ...(after ? { after: ['destroy'] } : {}),
  route: group('resource-allocation'),
  deadlineMs: 30_000,
  retry: stubborn,
});
const recordDeleted: TaskDefinition = {
  name: 'record-deleted',
  kind: 'vm.record-deleted',
  summary: 'Record that the VM is gone',
  input: { vmId: '${params.vmId}' },
  after: ['release'],
  route: group('provisioning'),
  deadlineMs: 30_000,
  retry: stubborn,
};
