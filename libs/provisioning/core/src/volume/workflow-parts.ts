import type { Route, TaskDefinition } from '@chrysalis/contracts';

export const passing = { attempts: 4, backoffMs: 250, maxBackoffMs: 5_000 };
export const stubborn = { attempts: 10, backoffMs: 500, maxBackoffMs: 30_000 };
export const provisioning: Route = { mode: 'group', group: 'provisioning' };
export const onFound: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:${tasks.find-host.output.hostId}' };
export const SHORT_MS = 30_000;
/** A volume is a sparse file: it is made and deleted in a moment, on a slow disk too. */
export const FILE_MS = 60_000;
/** Of 100 GiB that are written at 150 MiB/s, and read again. */
export const COPY_MS = 1_200_000;

export const file = { pool: '${params.pool}', volume: '${params.volume}' };
export const volumeId = '${params.volumeId}';
export const text = { type: 'string', required: true } as const;

/** Which pool of that name, where the volume is in it already and hosts say which it is. */
export type At = { readonly pinned: boolean; readonly poolKnown?: boolean };
export const at = (o: At) => ({
  pool: '${params.pool}',
  ...(o.poolKnown ? { poolId: '${params.poolId}' } : {}),
  ...(o.pinned ? { host: '${params.host}' } : {}),
});
export const atParams = (o: At) => ({ pool: text, ...(o.poolKnown ? { poolId: text } : {}), ...(o.pinned ? { host: text } : {}) });
export const allocation: Route = { mode: 'group', group: 'resource-allocation' };

/** `pinned`: to the param `host`. */
export const findHost = (o: At): TaskDefinition => ({
  name: 'find-host',
  kind: 'allocation.find-host',
  summary: 'Choose a host that reaches the pool',
  input: { ...at(o), fresh: false },
  route: allocation,
  deadlineMs: SHORT_MS,
  retry: passing,
  effect: 'none',
});

/** Before anything takes room: what it is to have in all. Undone to `toMiB`. */
export const holdRoom = (input: Record<string, unknown>, toMiB: unknown): TaskDefinition => ({
  name: 'hold',
  kind: 'allocation.hold-room',
  summary: 'Hold room in the pool, at a host that reaches it',
  input: { volumeId, sizeMiB: '${params.sizeMiB}', ...input },
  route: allocation,
  deadlineMs: SHORT_MS,
  retry: passing,
  compensation: {
    kind: 'allocation.release-room',
    input: { volumeId, toMiB, reason: 'not made' },
    route: allocation,
    deadlineMs: SHORT_MS,
    retry: stubborn,
  },
});
export const onHeld: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:${tasks.hold.output.hostId}' };

export const vmParams = { vmId: text, hostId: text, epoch: { type: 'number', required: true } } as const;
export const vm = { vmId: '${params.vmId}', epoch: '${params.epoch}' };
export const onVm: Route = { mode: 'direct', group: 'agent-gateway', executor: 'host:${params.hostId}' };
/** A guest lets a disk go, or shows it, in a second or so; a busy one in more. */
export const GUEST_MS = 60_000;
export const shaped = (task: string) => ({
  topology: `\${tasks.${task}.output.topology}`,
  topologyHash: `\${tasks.${task}.output.topologyHash}`,
});
