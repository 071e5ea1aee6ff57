import { describe, expect, test } from '@jest/globals';
import type { PoolConsumer } from '@chrysalis/contracts';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import { capacityOfPool, poolDecider, type KnownPool, type PoolCommand, type PoolEvent } from './index.ts';

const r = 'chrysalis.resource-allocation.pool.';
const poolId = 'pool-0199c0de-0000-7000-8000-0000000000b1';
const settings = { allocation: 'thin', ratioPerMille: 1000, reservedMiB: 0 } as const;
const registered: PoolEvent = {
  type: `${r}registered.v1`,
  data: { poolId, name: 'shared', kind: 'folder', hostId: 'a', room: { usedMiB: 0, freeMiB: 1000 }, settings },
};
const volume = (id = 'v1'): PoolConsumer => ({ kind: 'volume', id });
const hold = (sizeMiB: number, consumer = volume()): PoolCommand => ({ type: 'hold-room', poolId, consumer, sizeMiB });
const held = (sizeMiB: number, consumer = volume(), heldMiB = sizeMiB): PoolEvent => ({
  type: `${r}room-held.v1`,
  data: { poolId, consumer, sizeMiB, heldMiB },
});
const pool = (...events: PoolEvent[]) => given(poolDecider, [registered, ...events]);

describe('a pool', () => {
  test('is registered by the first host that tells of it, and told of again where its room differs', () => {
    const report = (usedMiB: number, freeMiB: number, hostId = 'b'): PoolCommand => ({
      ...{ type: 'report-room', poolId, name: 'other', kind: 'folder', hostId, room: { usedMiB, freeMiB } },
    });
    given(poolDecider, [])
      .when(report(0, 1000, 'a'))
      .then([{ ...registered, data: { ...registered.data, name: 'other' } } as PoolEvent]);
    pool().when(report(0, 1000)).thenNothing();
    pool()
      .when(report(1, 999))
      .then([{ type: `${r}room-reported.v1`, data: { poolId, hostId: 'b', room: { usedMiB: 1, freeMiB: 999 } } }]);
    given(poolDecider, []).when(hold(1)).thenRejected('pool.unknown');
  });

  test('holds what is asked for, once, and no more than may be promised', () => {
    pool()
      .when(hold(1000))
      .then([held(1000)]);
    pool(held(1000)).when(hold(1000)).thenNothing();
    pool(held(600))
      .when(hold(401, volume('v2')))
      .thenRejected('pool.capacity_exceeded', { requestedMiB: 401, freeMiB: 400 });
    pool(held(600))
      .when(hold(1000))
      .then([held(1000)]);
    pool(held(600)).when(hold(1001)).thenRejected('pool.capacity_exceeded', { requestedMiB: 401 });
    pool(held(600))
      .when({ type: 'lower-room', poolId, consumer: volume(), sizeMiB: 500 })
      .then([held(500)]);
    pool(held(600)).when({ type: 'lower-room', poolId, consumer: volume(), sizeMiB: 700 }).thenNothing();
    pool(held(600))
      .when({ type: 'release-room', poolId, consumer: volume(), reason: 'deleted' })
      .then([{ type: `${r}room-released.v1`, data: { poolId, consumer: volume(), sizeMiB: 600, heldMiB: 0, reason: 'deleted' } }]);
    pool().when({ type: 'release-room', poolId, consumer: volume(), reason: 'deleted' }).thenNothing();
  });

  test('promises as much as its administrator says; what is held stays', () => {
    const change = (to: object): PoolCommand => ({ type: 'change-settings', poolId, settings: to, reason: 'why' });
    const changed = (to: object): PoolEvent => ({
      type: `${r}settings-changed.v1`,
      data: { poolId, settings: { ...settings, ...to }, reason: 'why' },
    });
    pool()
      .when(change({ ratioPerMille: 1500 }))
      .then([changed({ ratioPerMille: 1500 })]);
    pool(changed({ ratioPerMille: 1500 }))
      .when(hold(1500))
      .then([held(1500)]);
    pool(changed({ ratioPerMille: 1500 }))
      .when(hold(1501))
      .thenRejected('pool.capacity_exceeded');
    pool(changed({ reservedMiB: 100 }))
      .when(hold(901))
      .thenRejected('pool.capacity_exceeded', { capacityMiB: 900 });
    pool(changed({ ratioPerMille: 1500 }), held(1500))
      .when(change({ ratioPerMille: 1000 }))
      .then([changed({ ratioPerMille: 1000 })]);
    pool(held(800), changed({ ratioPerMille: 500 }))
      .when(hold(1, volume('v2')))
      .thenRejected('pool.capacity_exceeded', { freeMiB: 0 });
    pool(changed({ ratioPerMille: 1500 }))
      .when(change({ allocation: 'full' }))
      .thenRejected('pool.overcommit_refused');
    pool()
      .when(change({ ratioPerMille: 1000 }))
      .thenNothing();
  });

  test('a VM that moves in it takes nothing more, or what its disks grow by; one of before pools is held from then on', () => {
    const ofVm: PoolConsumer = { kind: 'vm', id: 'vm-1' };
    const ofMove: PoolConsumer = { kind: 'move', id: 'mov-1' };
    const grow = (sizeMiB: number): PoolCommand => ({ type: 'hold-growth', poolId, moveId: 'mov-1', vmId: 'vm-1', sizeMiB, hasMiB: 100 });
    const growth = (heldMiB: number): PoolEvent => ({
      type: `${r}room-held.v1`,
      data: { poolId, consumer: ofMove, vmId: 'vm-1', sizeMiB: 50, heldMiB },
    });
    const swapped: PoolEvent = { type: `${r}room-swapped.v1`, data: { poolId, moveId: 'mov-1', vmId: 'vm-1', sizeMiB: 150, heldMiB: 150 } };
    pool(held(100, ofVm)).when(grow(100)).thenNothing();
    pool(held(100, ofVm))
      .when(grow(150))
      .then([growth(150)]);
    pool()
      .when(grow(150))
      .then([growth(50)]);
    const swap: PoolCommand = { type: 'swap-room', poolId, moveId: 'mov-1', vmId: 'vm-1', sizeMiB: 150 };
    for (const before of [[held(100, ofVm), growth(150)], [growth(50)]])
      expect(
        pool(...before)
          .when(swap)
          .then([swapped]),
      ).toMatchObject({ heldMiB: 150 });
    pool(held(100, ofVm), growth(150), swapped).when(swap).thenNothing();
  });
});

test('whatever is asked: the sum is that of the holds, it rises only within what may be promised, and a part of the holds decides as all do', () => {
  const consumers = fc.constantFrom<PoolConsumer>({ kind: 'volume', id: 'v1' }, { kind: 'volume', id: 'v2' }, { kind: 'vm', id: 'vm-1' });
  const size = fc.nat(1200);
  const commands: fc.Arbitrary<PoolCommand> = fc.oneof(
    fc.tuple(consumers, size).map(([consumer, sizeMiB]) => ({ type: 'hold-room' as const, poolId, consumer, sizeMiB })),
    consumers.map((consumer) => ({ type: 'release-room' as const, poolId, consumer, reason: 'why' })),
    fc.tuple(consumers, size).map(([consumer, sizeMiB]) => ({ type: 'lower-room' as const, poolId, consumer, sizeMiB })),
    size.map((sizeMiB) => ({ type: 'hold-growth' as const, poolId, moveId: 'm', vmId: 'vm-1', sizeMiB, hasMiB: 0 })),
    fc.nat(2000).map((ratioPerMille) => ({ type: 'change-settings' as const, poolId, settings: { ratioPerMille: ratioPerMille + 1 }, reason: '' })), // prettier-ignore
    size.map((freeMiB) => ({
      type: 'report-room' as const,
      poolId,
      name: 'x',
      kind: 'folder',
      hostId: 'a',
      room: { usedMiB: 0, freeMiB },
    })),
  );
  fc.assert(
    fc.property(fc.array(commands, { maxLength: 40 }), (told) => {
      let state = poolDecider.evolve(poolDecider.initial, registered) as KnownPool;
      for (const command of told) {
        const decided = poolDecider.decide(command, state);
        if (!decided.ok) continue;
        const before = state;
        for (const e of decided.events)
          if ('heldMiB' in e.data) expect(e.data.heldMiB).toBe((poolDecider.evolve(state, e) as KnownPool).heldMiB);
        state = decided.events.reduce(poolDecider.evolve, state as never) as unknown as KnownPool;
        expect(state.heldMiB).toBe([...state.holds.values()].reduce((a, b) => a + b, 0));
        if (state.heldMiB > before.heldMiB) expect(state.heldMiB).toBeLessThanOrEqual(capacityOfPool(state));
      }
    }),
  );
});
