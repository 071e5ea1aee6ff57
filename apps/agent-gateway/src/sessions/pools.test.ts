import { expect, test } from '@jest/globals';
import { Rooms } from './pools.ts';

const host = { hostId: 'h1', tenant: 'acme' };
const poolId = 'pool-0199c0de-0000-7000-8000-0000000000b1';
const room = (usedMiB: number, freeMiB: number) => [{ poolId, usedMiB, freeMiB }];

test('room is told where it differs by a part of the pool, or the pool is full; once a connection where its enrolment did not', () => {
  const rooms = new Rooms();
  const [first, second] = [{}, {}];
  const heard = (connection: object, usedMiB: number, freeMiB: number) => {
    rooms.heard(connection, host, room(usedMiB, freeMiB));
    return rooms.take().flatMap((r) => r.pools.map((p) => p.freeMiB));
  };
  rooms.told(first, host, room(0, 6400));
  expect(heard(first, 0, 6400)).toEqual([]);
  expect(heard(first, 99, 6301)).toEqual([]);
  expect(heard(first, 100, 6300)).toEqual([6300]);
  expect(heard(first, 150, 6250)).toEqual([]); // small steps add up to what was told last
  expect(heard(first, 200, 6200)).toEqual([6200]);
  expect(heard(first, 6399, 1)).toEqual([1]);
  expect(heard(first, 6400, 0)).toEqual([0]);
  expect(heard(first, 6399, 1)).toEqual([1]);
  expect(heard(second, 6399, 1)).toEqual([1]); // goes on in a session: what was told of it by whom is not known here
  expect(heard(second, 6399, 1)).toEqual([]);
  rooms.again(); // it could not be written
  expect(heard(second, 6399, 1)).toEqual([1]);
  rooms.left(second);
  rooms.heard(first, host, undefined); // an agent of before
  expect(rooms.take()).toEqual([]);
});
