import type { Route, TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';

const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
const stubborn = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };
const provisioning: Route = { mode: 'group', group: 'provisioning' };
const onFound: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:${tasks.find-host.output.hostId}' };
const SHORT_MS = 30_000;
/** A volume is a sparse file: it is made and deleted in a moment, on a slow disk too. */
const FILE_MS = 60_000;

const file = { pool: '${params.pool}', volume: '${params.volume}' };
const volumeId = '${params.volumeId}';
const text = { type: 'string', required: true } as const;

/** `pinned`: to the param `host`. */
const findHost = ({ fresh, pinned }: { fresh: boolean; pinned: boolean }): TaskDefinition => ({
  name: 'find-host',
  kind: 'allocation.find-host',
  summary: 'Choose a host that reaches the pool',
  input: { pool: '${params.pool}', fresh, ...(pinned ? { host: '${params.host}' } : {}) },
  route: { mode: 'group', group: 'resource-allocation' },
  deadlineMs: SHORT_MS,
  retry: passing,
  effect: 'none',
});

/** Undone by what is known before each task ran. */
export const createVolume = (o: { pinned: boolean }): WorkflowDefinition => ({
  name: 'create-volume',
  version: 1,
  summary: 'Make a volume in its pool',
  params: { volumeId: text, volume: text, pool: text, sizeMiB: { type: 'number', required: true }, ...(o.pinned ? { host: text } : {}) },
  tasks: [
    findHost({ fresh: true, ...o }),
    {
      name: 'make',
      kind: 'host.create-volume',
      summary: 'Make the volume, blank',
      input: { ...file, sizeMiB: '${params.sizeMiB}' },
      route: onFound,
      deadlineMs: FILE_MS,
      retry: passing,
      compensation: { kind: 'host.delete-volume', input: file, route: onFound, deadlineMs: FILE_MS, retry: stubborn },
    },
    {
      name: 'record',
      kind: 'volume.record-created',
      summary: 'Record that the volume is there',
      input: { volumeId, hostId: '${tasks.find-host.output.hostId}', shared: '${tasks.make.output.shared}' },
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
      compensation: { kind: 'volume.fail-creation', input: { volumeId }, route: provisioning, deadlineMs: SHORT_MS, retry: stubborn },
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId },
});

const vmParams = { vmId: text, hostId: text, epoch: { type: 'number', required: true } } as const;
const vm = { vmId: '${params.vmId}', epoch: '${params.epoch}' };
const onVm: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' };
/** A guest lets a disk go, or shows it, in a second or so; a busy one in more. */
const GUEST_MS = 60_000;
const shaped = (task: string) => ({
  topology: `\${tasks.${task}.output.topology}`,
  topologyHash: `\${tasks.${task}.output.topologyHash}`,
});

/** Undone by taking it out again whatever the guest does with it by then: it was never said to have it. */
export const attachVolume: WorkflowDefinition = {
  name: 'attach-volume',
  version: 1,
  summary: 'Attach a volume to a VM',
  params: { ...vmParams, volumeId: text, disk: { type: 'object', required: true } },
  tasks: [
    {
      name: 'plug',
      kind: 'host.attach-volume',
      summary: 'Plug the volume, see it in the guest',
      input: { ...vm, disk: '${params.disk}' },
      route: onVm,
      deadlineMs: GUEST_MS,
      retry: passing,
      compensation: {
        kind: 'host.detach-volume',
        input: { ...vm, disk: volumeId, force: true },
        route: onVm,
        deadlineMs: GUEST_MS,
        retry: stubborn,
      },
    },
    {
      name: 'record',
      kind: 'volume.record-attached',
      summary: 'Record that the VM has the volume',
      input: { volumeId, vmId: '${params.vmId}', ...shaped('plug'), seen: '${tasks.plug.output.seen}' },
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId, vmId: '${params.vmId}' },
};

/**
 * Forward only: where its record is lost, a volume that were plugged again would be a VM's that nobody knows of. A guest that lets go after all
 * was given up has let go: the volume stays that VM's until it is detached again, which finds nothing to do there.
 */
export const detachVolume: WorkflowDefinition = {
  name: 'detach-volume',
  version: 1,
  summary: 'Detach a volume from its VM',
  params: { ...vmParams, volumeId: text, force: { type: 'boolean', required: true } },
  tasks: [
    {
      name: 'unplug',
      kind: 'host.detach-volume',
      summary: 'Have the guest let go of the volume',
      input: { ...vm, disk: volumeId, force: '${params.force}' },
      route: onVm,
      deadlineMs: GUEST_MS,
      retry: passing,
    },
    {
      name: 'record',
      kind: 'volume.record-detached',
      summary: 'Record that the VM has the volume no more',
      input: { volumeId, vmId: '${params.vmId}', ...shaped('unplug') },
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId },
};

/** Forward only: what has grown does not become smaller. `attached`: by the VM that has it; else `pinned`, or wherever its pool is seen. */
export const growVolume = (o: { attached: boolean; pinned: boolean }): WorkflowDefinition => ({
  name: 'grow-volume',
  version: 1,
  summary: 'Grow a volume',
  params: {
    volumeId: text,
    sizeMiB: { type: 'number', required: true },
    ...(o.attached ? vmParams : { volume: text, pool: text, ...(o.pinned ? { host: text } : {}) }),
  },
  tasks: [
    ...(o.attached ? [growAttached] : [findHost({ fresh: false, ...o }), growFile]),
    {
      name: 'record',
      kind: 'volume.record-grown',
      summary: 'Record the size of the volume',
      input: {
        volumeId,
        sizeMiB: '${params.sizeMiB}',
        ...(o.attached ? { vmId: '${params.vmId}', ...shaped('grow'), seen: '${tasks.grow.output.seen}' } : {}),
      },
      after: ['grow'],
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId, sizeMiB: '${params.sizeMiB}' },
});
const growAttached: TaskDefinition = {
  name: 'grow',
  kind: 'host.grow-attached-volume',
  summary: 'Grow the volume under its VM, see it in the guest',
  input: { ...vm, disk: volumeId, sizeMiB: '${params.sizeMiB}' },
  route: onVm,
  deadlineMs: GUEST_MS,
  retry: passing,
};
const growFile: TaskDefinition = {
  name: 'grow',
  kind: 'host.grow-volume',
  summary: 'Grow the file of the volume',
  input: { ...file, sizeMiB: '${params.sizeMiB}' },
  route: onFound,
  deadlineMs: FILE_MS,
  retry: passing,
};

/** Forward only: what is deleted does not come back. `file`: there may be one. */
export const deleteVolume = (o: { file: boolean; pinned: boolean }): WorkflowDefinition => ({
  name: 'delete-volume',
  version: 1,
  summary: 'Delete a volume',
  params: { volumeId: text, volume: text, pool: text, ...(o.pinned ? { host: text } : {}) },
  tasks: [
    ...(o.file ? [findHost({ fresh: false, ...o }), deleteFile] : []),
    {
      name: 'record',
      kind: 'volume.record-deleted',
      summary: 'Record that the volume is gone',
      input: { volumeId },
      ...(o.file ? { after: ['delete'] } : {}),
      route: provisioning,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
  ],
  deadlineMs: 600_000,
  output: { volumeId },
});

const deleteFile: TaskDefinition = {
  name: 'delete',
  kind: 'host.delete-volume',
  summary: 'Delete the file of the volume',
  input: file,
  route: onFound,
  deadlineMs: FILE_MS,
  retry: stubborn,
};
