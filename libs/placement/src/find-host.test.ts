import { expect, test } from '@jest/globals';
import { findHost, nothing, type HostView } from './index.ts';

const inventory = { total: 8, reserved: 0, ratioPerMille: 1000, min: 1, max: 8, step: 1 };
const host = (hostId: string, storagePools: string[], over: Partial<HostView> = {}): HostView => ({
  state: 'enabled',
  held: nothing,
  vms: new Map(),
  ...over,
  facts: {
    hostId,
    address: '192.0.2.1:1',
    place: { site: 's', room: 'r', rack: 'k' },
    driver: 'simulated',
    accelerator: 'none',
    hypervisorVersion: '1',
    cpuModels: [],
    machineTypes: [],
    traits: [],
    storagePools,
    networks: [],
    inventory: { vcpu: inventory, memoryMiB: inventory, diskMiB: inventory },
  },
});
const fleet = [
  host('a', ['shared'], { state: 'draining' }),
  host('b', ['other']),
  host('c', ['shared'], { away: 'it is off' }),
  host('d', ['shared']),
];
const found = (asked: Parameters<typeof findHost>[1]) => findHost(fleet, asked).candidates.map((c) => c.hostId);

test('a host that reaches the pool and is there; for something new also one that takes it', () => {
  expect(found({ pool: 'shared', fresh: true })).toEqual(['d']);
  expect(found({ pool: 'shared', fresh: false })).toEqual(['a', 'd']);
  expect(found({ pool: 'shared', fresh: false, host: 'a' })).toEqual(['a']);
  expect(found({ pool: 'shared', fresh: true, host: 'a' })).toEqual([]);
  const { refused } = findHost(fleet, { pool: 'nowhere', fresh: true });
  expect(new Set(refused.flatMap((r) => r.reasons.map((x) => x.code)))).toEqual(
    new Set(['host.pools_missing', 'host.draining', 'host.agent_away']),
  );
});
