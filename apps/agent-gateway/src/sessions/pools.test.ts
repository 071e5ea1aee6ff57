import { beforeEach, expect, test } from '@jest/globals';
import { Rooms } from './pools.ts';

const host = { hostId: 'h1', tenant: 'acme' };
const poolId = 'pool-0199c0de-0000-7000-8000-0000000000b1';
const room = (usedMiB: number, freeMiB: number) => [{ poolId, usedMiB, freeMiB }];

const other = { ...host, hostId: 'h2' };
const [first, second] = [{}, {}];
let now = 0;
let rooms: Rooms;
const heard = (connection: object, usedMiB: number, freeMiB: number) => {
  rooms.heard(connection, connection === second ? other : host, room(usedMiB, freeMiB), now);
  return rooms.take().flatMap((r) => r.pools.map((p) => p.freeMiB));
};
beforeEach(() => {
  now = 1_000_000;
  rooms = new Rooms();
  rooms.told(first, room(0, 6400), now);
});

test('room is told at once where it differs by a part of the pool, or the pool is full', () => {
  expect(heard(first, 0, 6400)).toEqual([]);
  expect(heard(first, 99, 6301)).toEqual([]);
  expect(heard(first, 100, 6300)).toEqual([6300]);
  expect(heard(first, 150, 6250)).toEqual([]); // small steps add up to what was told last
  expect(heard(first, 200, 6200)).toEqual([6200]);
  expect(heard(first, 6399, 1)).toEqual([1]);
  expect(heard(first, 6400, 0)).toEqual([0]);
  expect(heard(first, 6399, 1)).toEqual([1]);
});

test('what differs by less is told once a minute, of a pool and not of each host that has it; what does not differ never', () => {
  expect(heard(first, 1, 6399)).toEqual([]);
  now += 60_000;
  expect(heard(first, 0, 6400)).toEqual([]);
  expect(heard(first, 1, 6399)).toEqual([6399]);
  expect(heard(second, 2, 6398)).toEqual([]);
  now += 59_999;
  expect(heard(second, 2, 6398)).toEqual([]);
  now += 1;
  expect(heard(second, 2, 6398)).toEqual([6398]);
  expect(heard(first, 3, 6397)).toEqual([]);
});

test('what could not be written, or was of a connection that left, is told by whoever says it next', () => {
  expect(heard(first, 200, 6200)).toEqual([6200]);
  rooms.again();
  expect(heard(second, 200, 6200)).toEqual([6200]);
  rooms.heard(second, other, room(6400, 0), now);
  rooms.left(second);
  expect(rooms.take()).toEqual([]);
  expect(heard(first, 6400, 0)).toEqual([0]);
  rooms.heard(first, host, undefined, now); // an agent of before
  expect(rooms.take()).toEqual([]);
});
