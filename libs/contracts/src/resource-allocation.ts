import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { executorAnnounced } from './executors.ts';
import { PoolRoom, PoolSettings } from './pools.ts';
import { Amounts, Count, HostFacts, Id, Name, PoolId } from './shapes.ts';
import { taskReported } from './task-execution.ts';

/** Who holds: the VM itself, or a move (a consumer of its own beside the VM's hold on the source). */
export const Consumer = z.object({ kind: z.enum(['vm', 'move']), id: Id });
export type Consumer = z.infer<typeof Consumer>;
export const consumerText = (c: Consumer): string => `${c.kind}:${c.id}`;

/** Who holds room in a pool: a VM for its own disks, a move for what they are to grow by, a volume for itself. */
export const PoolConsumer = z.object({ kind: z.enum(['vm', 'move', 'volume']), id: Id });
export type PoolConsumer = z.infer<typeof PoolConsumer>;
export const poolConsumerText = (c: PoolConsumer): string => `${c.kind}:${c.id}`;

/** `draining`: what runs there is to leave. `retiring`: as draining, and for good; policies may act on it. */
export const hostStates = ['enabled', 'cordoned', 'draining', 'retiring', 'lost'] as const;
export const HostState = z.enum(hostStates);
export type HostState = z.infer<typeof HostState>;

/** Stream: `host-<id>`. Its version is the host's allocation generation. */
export const resourceAllocationEvents = {
  hostRegistered: event(
    'chrysalis.resource-allocation.host.registered.v1',
    'A host and its inventory became known',
    z.object({ facts: HostFacts }),
  ),
  hostFactsChanged: event(
    'chrysalis.resource-allocation.host.facts-changed.v1',
    'A host reported other facts than before',
    z.object({ facts: HostFacts }),
  ),
  hostStateChanged: event(
    'chrysalis.resource-allocation.host.state-changed.v1',
    'An operator or a detector changed what a host may be used for',
    z.object({ hostId: Name, from: HostState, to: HostState, reason: z.string().max(255) }),
  ),
  allocationHeld: event(
    'chrysalis.resource-allocation.allocation.held.v1',
    'A consumer holds amounts on a host',
    z.object({ hostId: Name, consumer: Consumer, vmId: Id, amounts: Amounts }),
  ),
  allocationReleased: event(
    'chrysalis.resource-allocation.allocation.released.v1',
    'A hold ended',
    z.object({ hostId: Name, consumer: Consumer, vmId: Id, amounts: Amounts, reason: z.string().max(255) }),
  ),
  /** One event, so that no reader sees the target held twice or not at all. */
  allocationSwapped: event(
    'chrysalis.resource-allocation.allocation.swapped.v1',
    "A move's hold became the VM's",
    z.object({ hostId: Name, moveId: Id, vmId: Id, amounts: Amounts }),
  ),
  /** Of streams `pool-<uuid>`. `heldMiB` is what is held in all after it: who wants that alone need not know who holds what. */
  poolRegistered: event(
    'chrysalis.resource-allocation.pool.registered.v1',
    'A storage pool became known',
    z.object({ poolId: PoolId, name: Name, kind: Name, hostId: Name, room: PoolRoom, settings: PoolSettings }),
  ),
  poolRoomReported: event(
    'chrysalis.resource-allocation.pool.room-reported.v1',
    'A host that has the pool sees other room in it than was known',
    z.object({ poolId: PoolId, hostId: Name, room: PoolRoom }),
  ),
  poolSettingsChanged: event(
    'chrysalis.resource-allocation.pool.settings-changed.v1',
    'An administrator said how much of a pool may be promised, and how its files are made',
    z.object({ poolId: PoolId, settings: PoolSettings, reason: z.string().max(255) }),
  ),
  poolRoomHeld: event(
    'chrysalis.resource-allocation.pool.room-held.v1',
    'A consumer holds room in a pool: this much, whatever it held before',
    z.object({ poolId: PoolId, consumer: PoolConsumer, vmId: Id.optional(), sizeMiB: Count, heldMiB: Count }),
  ),
  poolRoomReleased: event(
    'chrysalis.resource-allocation.pool.room-released.v1',
    'A consumer holds nothing in the pool any more',
    z.object({ poolId: PoolId, consumer: PoolConsumer, sizeMiB: Count, heldMiB: Count, reason: z.string().max(255) }),
  ),
  /** One event, so that no reader sees the disks twice or not at all. */
  poolRoomSwapped: event(
    'chrysalis.resource-allocation.pool.room-swapped.v1',
    "What a move held in the pool became its VM's, which holds this much now",
    z.object({ poolId: PoolId, moveId: Id, vmId: Id, sizeMiB: Count, heldMiB: Count }),
  ),
  taskReported: taskReported('resource-allocation'),
  executorAnnounced: executorAnnounced('resource-allocation'),
} as const;
export type ResourceAllocationEvent = EventsOf<typeof resourceAllocationEvents>;
