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
