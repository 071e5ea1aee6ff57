import { expect, test } from '@jest/globals';
import { fold } from '@chrysalis/kernel';
import { facts } from '@chrysalis/migration-templates-core/testing';
import { evolveHost, initialHost, moveConsumer, vmConsumer, type HostEvent } from '@chrysalis/resource-allocation-core';
import { changedBy, hostOf, type HostRow } from './hosts.ts';

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

/** As rows are kept, and read again. */
const after = (row: HostRow, told: readonly HostEvent[]): HostRow =>
  told.reduce<HostRow>(({ holds, ...before }, event) => {
    const changed = JSON.parse(JSON.stringify(changedBy(before, event), (_, value: unknown) => value ?? null)) as ReturnType<
      typeof changedBy
    >;
    const all = Object.entries({ ...holds, ...changed.holds }).filter(([, hold]) => hold !== null);
    return { ...(changed.host ?? before), holds: Object.fromEntries(all) as HostRow['holds'] };
  }, row);
const none: HostRow = { state: 'enabled', holds: {} };

test('a host kept as rows between any two events is the host its stream folds to', () => {
  for (let kept = 0; kept <= events.length; kept++)
    expect(hostOf(after(none, events.slice(0, kept)))).toEqual(fold(evolveHost, initialHost, events.slice(0, kept)));
});

test('rows of before, with the amounts of each hold alone, go on as they should', () => {
  const row: HostRow = { facts: facts('h1'), state: 'cordoned', holds: { 'vm:a': small, 'move:m1': large } };
  expect(hostOf(after(row, events.slice(4)))).toEqual(fold(evolveHost, initialHost, events));
});
