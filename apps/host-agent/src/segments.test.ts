import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { addressHostTasks as tasks, hostTasks, type TaskContract } from '@chrysalis/contracts';
import { digest } from './test/fixtures.ts';
import { Fleet } from './test/fleet.ts';

const NETWORK = 'network-0199c0de-0000-7000-8000-0000000000e1';
const spec = {
  vcpus: { now: 1, max: 1 },
  memoryMiB: { now: 512, max: 512 },
  disks: [],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const image = { name: 'linux', version: 1, digest: digest('a'), cmdline: '' };
const segment = { vni: 7, subnet: '10.7.0.0/24', address: '10.7.0.2', mtu: 1450, allow: [] };
const nics = [{ id: NETWORK, mac: '52:54:00:01:07:09', network: NETWORK, segment }];

let fleet: Fleet;
beforeAll(async () => {
  fleet = await Fleet.open();
  await fleet.host({ hostId: 'h1', driver: 'simulated' });
});
afterAll(() => fleet.stop());

const boot = async (vmId: string) => {
  const on = { vmId, epoch: 1 };
  const more = { uuid: randomUUID(), tenant: 'acme', spec, image, nics, pool: 'shared', waitForGuest: true };
  const { topologyHash } = await fleet.must(hostTasks.bootVm, 'h1', { ...on, ...more });
  return { on, topologyHash };
};
const vip = { network: NETWORK, address: '10.7.0.50' };

test('a further address is had and carried, twice as once, off as running, and is had no more', async () => {
  const { on, topologyHash: before } = await boot('vm-has');
  expect(await fleet.must(tasks.carryAddress, 'h1', { ...on, ...vip, carry: true })).toEqual({ seen: true });
  for (const _ of [1, 2]) {
    const { topology } = await fleet.must(tasks.bindAddress, 'h1', { ...on, ...vip });
    expect(topology.nics[0]!.segment!.further).toEqual(['10.7.0.50']);
  }
  await fleet.must(hostTasks.stopVm, 'h1', { ...on, modes: ['power-off'], timeoutMs: 1_000 });
  expect(await fleet.must(tasks.carryAddress, 'h1', { ...on, ...vip, carry: true })).toEqual({}); // nobody is there to carry it
  await fleet.must(tasks.bindAddress, 'h1', { ...on, ...vip, address: '10.7.0.60' });
  const { topology } = await fleet.must(hostTasks.startVm, 'h1', on);
  expect(topology.nics[0]!.segment!.further).toEqual(['10.7.0.50', '10.7.0.60']);
  for (const address of ['10.7.0.60', '10.7.0.50']) await fleet.must(tasks.unbindAddress, 'h1', { ...on, ...vip, address });
  expect(await fleet.must(tasks.unbindAddress, 'h1', { ...on, ...vip })).toMatchObject({ topologyHash: before });
  const elsewhere = { ...vip, network: NETWORK.replace('e1', 'e2') };
  const refused = await fleet.run(tasks.bindAddress, 'h1', { ...on, ...elsewhere });
  expect(refused).toMatchObject({ ok: false, cause: { code: 'hypervisor.device_unknown' } });
}, 60_000);

const kinds: readonly TaskContract[] = [tasks.carryAddress, tasks.bindAddress, tasks.unbindAddress];
test.each(['before', 'after'] as const)(
  'a host agent that ends %s any of it does it all the same',
  async (side) => {
    const { on } = await boot(`vm-killed-${side}`);
    for (const contract of kinds) {
      fleet.fail({ [`task:${contract.kind}:${side}`]: { action: 'exit', where: { hostId: 'h1' } } });
      const task = await fleet.begin(contract, 'h1', { ...on, ...vip, ...(contract === tasks.carryAddress ? { carry: true } : {}) });
      await fleet.ended('h1');
      fleet.fail({});
      await fleet.start('h1');
      expect(await fleet.reported(task)).toMatchObject({ ok: true });
    }
  },
  120_000,
);
