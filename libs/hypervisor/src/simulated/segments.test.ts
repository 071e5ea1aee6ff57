import { expect, test } from '@jest/globals';
import { bootSpec, MOVED } from '../test/driver-contract/rig.ts';
import { SimulatedDriver } from './driver.ts';
import { MemoryLink } from './link.ts';
import { SimulatedStore } from './state.ts';
import { SimulatedWorld } from './world.ts';

const NETWORK = 'network-0199c0de-0000-7000-8000-0000000000e1';
const segment = { vni: 7, subnet: '10.7.0.0/24', address: '10.7.0.2', mtu: 1450, allow: [] };
const nics = [...bootSpec(MOVED).nics, { id: NETWORK, mac: '52:54:00:01:07:09', network: NETWORK, segment }];

test('a host has its part of a segment while a VM is on it, moves with it, and takes no word that is older', async () => {
  const world = new SimulatedWorld({ link: new MemoryLink() });
  const stores = { a: new SimulatedStore(), b: new SimulatedStore() };
  const make = (host: 'a' | 'b') => new SimulatedDriver({ host, address: host, world, store: stores[host] });
  let a = make('a');
  const b = make('b');
  let changes = 0;
  a.onSegments(() => (changes += 1));
  await a.setSegmentPeers(7, 9, ['x']); // of one that it has no part of
  const { topology, topologyHash } = await a.boot(bootSpec(MOVED, { nics }));
  expect(topology.nics.at(-1)).toMatchObject({ id: NETWORK, segment });
  expect((await a.topology(MOVED)).topologyHash).toBe(topologyHash);
  expect(a.segments()).toEqual([{ vni: 7, peersVersion: 0 }]);
  await a.setSegmentPeers(7, 3, ['a', 'b']);
  await a.setSegmentPeers(7, 2, ['late']);
  expect(a.segmentPeers(7)).toEqual(['a', 'b']);
  await a.close();
  a = make('a');
  a.onSegments(() => (changes += 1));
  await a.adopt();
  expect(a.segments()).toEqual([{ vni: 7, peersVersion: 0 }]); // it is told again
  const { migrationAddress } = await b.prepareTarget({ vmId: MOVED, topology, topologyHash });
  expect(b.segments()).toEqual([{ vni: 7, peersVersion: 0 }]); // before the guest runs there
  const moved = await a.migrate(MOVED, { address: migrationAddress, limits: { downtimeLimitMs: 300, maxBandwidthMiBps: 1024 } });
  expect(moved.outcome).toBe('completed');
  await b.resume(MOVED);
  await a.destroy(MOVED, { deleteVolumes: false });
  expect([a.segments(), b.segments()]).toEqual([[], [{ vni: 7, peersVersion: 0 }]]);
  await b.destroy(MOVED, { deleteVolumes: true });
  expect(b.segments()).toEqual([]);
  expect(changes).toBeGreaterThanOrEqual(2);
});

test('a further address is a part of the hardware: of one that runs, of one that is off, over a start and a move, until it is taken', async () => {
  const world = new SimulatedWorld({ link: new MemoryLink() });
  const make = (host: string) => new SimulatedDriver({ host, address: host, world, store: new SimulatedStore() });
  const [a, b] = [make('a'), make('b')];
  const { topologyHash: before } = await a.boot(bootSpec(MOVED, { nics }));
  const further = async (driver: SimulatedDriver) => (await driver.status(MOVED)).topology.nics.at(-1)?.segment?.further;
  const set = (address: string, has: boolean) => a.setAddress(MOVED, { network: NETWORK, address, has });
  await expect(a.setAddress(MOVED, { network: 'front', address: '10.7.0.9', has: true })).rejects.toMatchObject({ code: 'hypervisor.device_unknown' }); // prettier-ignore
  await set('10.7.0.50', true);
  await set('10.7.0.9', true);
  const { topologyHash: both } = await set('10.7.0.50', true);
  expect(await further(a)).toEqual(['10.7.0.9', '10.7.0.50']);
  expect(both).not.toBe(before);
  await a.halt(MOVED);
  await set('10.7.0.9', false);
  await a.start(MOVED);
  expect(await further(a)).toEqual(['10.7.0.50']);
  const guest = a.simulatedGuest(MOVED);
  expect([guest.carry('52:54:00:01:07:09', '10.7.0.50', true), guest.carry('52:54:00:00:00:00', '10.7.0.50', true)]).toEqual([true, false]);
  const { topology, topologyHash } = await a.status(MOVED);
  const { migrationAddress } = await b.prepareTarget({ vmId: MOVED, topology, topologyHash });
  await a.migrate(MOVED, { address: migrationAddress, limits: { downtimeLimitMs: 300, maxBandwidthMiBps: 1024 } });
  await b.resume(MOVED);
  expect(await further(b)).toEqual(['10.7.0.50']);
  const { topologyHash: after } = await b.setAddress(MOVED, { network: NETWORK, address: '10.7.0.50', has: false });
  expect(after).toBe(before); // one that has none has the hash that it always had
});
