import type { TaskDefinition, WorkflowDefinition } from '@chrysalis/contracts';
import {
  passing,
  stubborn,
  provisioning,
  onFound,
  SHORT_MS,
  FILE_MS,
  COPY_MS,
  file,
  volumeId,
  text,
  at,
  atParams,
  allocation,
  findHost,
  holdRoom,
  onHeld,
  vmParams,
  vm,
  onVm,
  GUEST_MS,
  shaped,
  type At,
} from './workflow-parts.ts';

/** Of an image or a volume: that is copied, which may take minutes. `also`: the host reaches the pool of what it is made of as well. */
export const createVolume = (o: { pinned: boolean; copy?: boolean; also?: boolean }): WorkflowDefinition => {
  const makeMs = o.copy ? COPY_MS : FILE_MS;
  return {
    name: 'create-volume',
    version: 1,
    summary: 'Make a volume in its pool',
    params: {
      volumeId: text,
      volume: text,
      sizeMiB: { type: 'number', required: true },
      ...atParams(o),
      ...(o.copy ? { from: { type: 'object', required: true } as const } : {}),
      ...(o.also ? { also: { type: 'object', required: true } as const } : {}),
    },
    tasks: [
      holdRoom({ ...at(o), ...(o.also ? { also: '${params.also}' } : {}), fresh: true }, 0),
      {
        name: 'make',
        kind: 'host.create-volume',
        summary: o.copy ? 'Make the volume, as a copy' : 'Make the volume, blank',
        input: {
          ...file,
          sizeMiB: '${params.sizeMiB}',
          allocation: '${tasks.hold.output.allocation}',
          ...(o.copy ? { from: '${params.from}' } : {}),
        },
        route: onHeld,
        deadlineMs: makeMs,
        retry: passing,
        compensation: { kind: 'host.delete-volume', input: file, route: onHeld, deadlineMs: FILE_MS, retry: stubborn },
      },
      {
        name: 'record',
        kind: 'volume.record-created',
        summary: 'Record that the volume is there',
        input: {
          volumeId,
          hostId: '${tasks.hold.output.hostId}',
          poolId: '${tasks.hold.output.poolId}',
          shared: '${tasks.make.output.shared}',
        },
        route: provisioning,
        deadlineMs: SHORT_MS,
        retry: stubborn,
        compensation: { kind: 'volume.fail-creation', input: { volumeId }, route: provisioning, deadlineMs: SHORT_MS, retry: stubborn },
      },
    ],
    deadlineMs: 600_000 + makeMs,
    output: { volumeId },
  };
};

/**
 * Forward only: what has grown does not become smaller. `attached`: by the VM that has it; else `pinned`, or wherever its pool is seen. What is
 * held of the pool goes back to `fromMiB` where it was given up.
 */
export const growVolume = (o: At & { attached: boolean }): WorkflowDefinition => ({
  name: 'grow-volume',
  version: 1,
  summary: 'Grow a volume',
  params: {
    volumeId: text,
    sizeMiB: { type: 'number', required: true },
    fromMiB: { type: 'number', required: true },
    ...atParams({ ...o, pinned: o.pinned && !o.attached }),
    ...(o.attached ? vmParams : { volume: text }),
  },
  tasks: [
    holdRoom(
      { ...at({ ...o, pinned: o.pinned && !o.attached }), ...(o.attached ? { host: '${params.hostId}' } : {}), fresh: false },
      '${params.fromMiB}',
    ),
    o.attached ? growAttached : growFile,
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
  after: ['hold'],
  route: onVm,
  deadlineMs: GUEST_MS,
  retry: passing,
};
const growFile: TaskDefinition = {
  name: 'grow',
  kind: 'host.grow-volume',
  summary: 'Grow the file of the volume',
  input: { ...file, sizeMiB: '${params.sizeMiB}' },
  route: onHeld,
  deadlineMs: FILE_MS,
  retry: passing,
};

/** Forward only: what is deleted does not come back. `file`: there may be one. What it held ends after that. */
export const deleteVolume = (o: At & { file: boolean }): WorkflowDefinition => ({
  name: 'delete-volume',
  version: 1,
  summary: 'Delete a volume',
  params: { volumeId: text, volume: text, ...atParams(o) },
  tasks: [
    ...(o.file ? [findHost(o), deleteFile] : []),
    {
      name: 'release',
      kind: 'allocation.release-room',
      summary: 'Let go of what it holds in its pool',
      input: { volumeId, toMiB: 0, reason: 'deleted' },
      ...(o.file ? { after: ['delete'] } : {}),
      route: allocation,
      deadlineMs: SHORT_MS,
      retry: stubborn,
    },
    {
      name: 'record',
      kind: 'volume.record-deleted',
      summary: 'Record that the volume is gone',
      input: { volumeId },
      after: ['release'],
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
