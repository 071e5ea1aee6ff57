import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { hostTasks as tasks, type TaskContract } from '@chrysalis/contracts';
import { digest } from './test/fixtures.ts';
import { Fleet } from './test/fleet.ts';

const spec = {
  vcpus: { now: 1, max: 2 },
  memoryMiB: { now: 512, max: 1024 },
  disks: [{ id: 'data', sizeMiB: 16 }],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
};
const image = { name: 'linux', version: 1, digest: digest('a'), cmdline: '' };
let fleet: Fleet;
let made = 0;
beforeAll(async () => {
  fleet = await Fleet.open();
  for (const hostId of ['h1', 'h2']) await fleet.host({ hostId, driver: 'simulated' });
});
beforeEach(() => fleet.fail({}));
afterAll(() => fleet.stop());

const boot = async (vmId: string) => {
  await fleet.must(tasks.bootVm, 'h1', {
    ...{ vmId, epoch: 1, uuid: randomUUID(), tenant: 'acme', spec, image, nics: [], pool: 'shared', waitForGuest: true },
  });
  return { vmId, epoch: 1 };
};
const nicOn = () => {
  const id = `network-${randomUUID()}`;
  const segment = { vni: 4_096 + ++made, subnet: '10.7.0.0/24', address: '10.7.0.2', mtu: 1_450, allow: [] };
  return { id, network: id, mac: `52:54:00:01:10:${made.toString(16).padStart(2, '0')}`, segment };
};
const fails = async (contract: TaskContract, hostId: string, input: Record<string, unknown>, code: string) =>
  expect(await fleet.run(contract, hostId, input)).toMatchObject({ ok: false, cause: { code } });

test('a VM that runs has a NIC, which its guest shows, and has it no more; each said again is so', async () => {
  const [on, nic] = [await boot('vm-has'), nicOn()];
  for (const _ of [1, 2]) {
    const { topology, seen } = await fleet.must(tasks.attachNic, 'h1', { ...on, nic });
    expect([topology.nics, seen]).toEqual([[{ ...nic, port: 1 }], true]);
  }
  const second = nicOn();
  expect((await fleet.must(tasks.attachNic, 'h1', { ...on, nic: second })).topology.nics).toHaveLength(2);
  for (const _ of [1, 2])
    expect((await fleet.must(tasks.detachNic, 'h1', { ...on, nic: nic.id })).topology.nics).toEqual([{ ...second, port: 2 }]);
  await fails(tasks.attachNic, 'h1', { ...on, nic: { ...second, mac: '52:54:00:01:10:ff' } }, 'hypervisor.device_conflict');
  await fails(tasks.attachNic, 'h1', { ...on, epoch: 2, nic }, 'host.epoch_ahead');
  await fails(tasks.attachNic, 'h2', { ...on, nic }, 'host.vm_unknown');
});

test('one that is off has it in its record, starts with it, and nobody is asked in it', async () => {
  const [on, nic] = [await boot('vm-off'), nicOn()];
  await fleet.must(tasks.stopVm, 'h1', { ...on, modes: ['guest-agent'], timeoutMs: 5_000 });
  expect(await fleet.must(tasks.attachNic, 'h1', { ...on, nic })).not.toHaveProperty('seen');
  await fleet.must(tasks.detachNic, 'h1', { ...on, nic: nic.id });
  const { topologyHash } = await fleet.must(tasks.attachNic, 'h1', { ...on, nic });
  expect(await fleet.must(tasks.startVm, 'h1', on)).toMatchObject({ topologyHash });
});

test('where no port is left it is refused, and nothing of the try is there', async () => {
  const on = await boot('vm-full');
  for (let i = 0; i < 7; i++) await fleet.must(tasks.attachNic, 'h1', { ...on, nic: nicOn() });
  const one = nicOn();
  await fails(tasks.attachNic, 'h1', { ...on, nic: one }, 'hypervisor.no_free_port');
  expect((await fleet.must(tasks.detachNic, 'h1', { ...on, nic: one.id })).topology.nics).toHaveLength(7);
});
