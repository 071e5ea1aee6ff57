import { poolConsumerText, resourceAllocationEvents as e, type PoolConsumer } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler } from '../projection.ts';

const hold = (poolId: string, consumer: PoolConsumer, members: Document): Change =>
  merge('pool_holds', `${poolId}/${poolConsumerText(consumer)}`, { poolId, consumer, ...members });

/** A pool as its stream says; which hosts have it their own facts say. */
export const pools: readonly Handler[] = [
  on(e.poolRegistered, ({ poolId, name, kind, room, settings }, { at }) => [
    merge('pools', poolId, { poolId, name, kind, ...room, settings, heldMiB: 0, seenAt: at }),
  ]),
  on(e.poolRoomReported, ({ poolId, room }, { at }) => [merge('pools', poolId, { ...room, seenAt: at })]),
  on(e.poolSettingsChanged, ({ poolId, settings, reason }) => [merge('pools', poolId, { settings, reason })]),
  on(e.poolRoomHeld, ({ poolId, consumer, vmId, sizeMiB, heldMiB }, { at }) => [
    merge('pools', poolId, { heldMiB }),
    hold(poolId, consumer, { ...(vmId === undefined ? {} : { vmId }), sizeMiB, state: 'held', since: at, reason: undefined }),
  ]),
  on(e.poolRoomReleased, ({ poolId, consumer, sizeMiB, heldMiB, reason }, { at }) => [
    merge('pools', poolId, { heldMiB }),
    hold(poolId, consumer, { sizeMiB, state: 'released', since: at, reason }),
  ]),
  on(e.poolRoomSwapped, ({ poolId, moveId, vmId, sizeMiB, heldMiB }, { at }) => [
    merge('pools', poolId, { heldMiB }),
    hold(poolId, { kind: 'move', id: moveId }, { vmId, state: 'released', since: at, reason: "became the VM's" }),
    hold(poolId, { kind: 'vm', id: vmId }, { vmId, sizeMiB, state: 'held', since: at, reason: undefined }),
  ]),
];
