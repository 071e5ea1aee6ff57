import { expect, test } from '@jest/globals';
import { fold } from '@chrysalis/kernel';
import { facts } from '@chrysalis/migration-templates-core/testing';
import { evolveHost, initialHost, moveConsumer, vmConsumer, type HostEvent } from '@chrysalis/resource-allocation-core';
import { docOf, hostOf } from './hosts.ts';

const small = { vcpu: 1, memoryMiB: 512, diskMiB: 256 };
const large = { vcpu: 2, memoryMiB: 1024, diskMiB: 512 };
const events: HostEvent[] = [
  { type: 'chrysalis.resource-allocation.host.registered.v1', data: { facts: facts('h1') } },
  {
    type: 'chrysalis.resource-allocation.allocation.held.v1',
    data: { hostId: 'h1', consumer: vmConsumer('a'), vmId: 'a', amounts: small },
  },
  {
    type: 'chrysalis.resource-allocation.allocation.held.v1',
    data: { hostId: 'h1', consumer: moveConsumer('m1'), vmId: 'b', amounts: large },
  },
  { type: 'chrysalis.resource-allocation.host.state-changed.v1', data: { hostId: 'h1', from: 'enabled', to: 'cordoned', reason: 'x' } },
  { type: 'chrysalis.resource-allocation.allocation.swapped.v1', data: { hostId: 'h1', moveId: 'm1', vmId: 'b', amounts: large } },
];

test('a host kept as a row between any two events is the host its stream folds to', () => {
  for (let kept = 0; kept <= events.length; kept++) {
    const row = JSON.parse(JSON.stringify(docOf(fold(evolveHost, initialHost, events.slice(0, kept)))));
    expect(fold(evolveHost, hostOf(row), events.slice(kept))).toEqual(fold(evolveHost, initialHost, events));
  }
});

test('a row of before, with the amounts of each hold alone, goes on as it should', () => {
  const row = { facts: facts('h1'), state: 'cordoned' as const, holds: { 'vm:a': small, 'move:m1': large } };
  expect(fold(evolveHost, hostOf(row), events.slice(4))).toEqual(fold(evolveHost, initialHost, events));
});
