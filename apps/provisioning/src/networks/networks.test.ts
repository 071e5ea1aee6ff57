import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { filtered, topologyHash, WorkflowRequest, type Nic } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness, image, spec, topologyOf } from '../test/harness.ts';

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(() => h?.stop());

const create = (body: object, tenant = 'main', query = '') =>
  h.http<{ networkId: string; code: string }>('POST', `/v1/networks${query}`, body, { tenant });
const remove = (id: string, tenant = 'main') =>
  h.http<{ state: string; code: string; vmId: string }>('DELETE', `/v1/networks/${id}`, undefined, { tenant });
const vm = (networks: object[], more: object = {}, tenant = 'main') =>
  h.http('POST', '/v1/vms', { name: 'web', type: 'small', image: 'linux@1', networks, ...more }, { tenant });
const events = async (id: string) => (await h.store.read(id)).map((e) => e.type.replace(/^chrysalis\.provisioning\.network\.|\.v1$/g, ''));
const requested = async (vmId: string) => (await h.store.read(vmId))[0]!.data as { nics: Nic[]; request: WorkflowRequest };
const all = async () => Number((await h.running.service.pool.query('select count(*) from provisioning.events')).rows[0].count);

test('a VM has a NIC on each network, with an address of its own there and a filter; deleted, it gives the address back', async () => {
  const { networkId } = await h.network('10.1.0.0/24');
  const { vni } = (await h.store.read(networkId))[0]!.data as { vni: number };
  const { vmId } = (await vm([{ network: networkId, address: '10.1.0.9' }], { allow: [{ protocol: 'icmp' }] })).body;
  const { nics, request } = await requested(vmId);
  const segment = { vni, subnet: '10.1.0.0/24', address: '10.1.0.9', mtu: 1450, allow: [{ protocol: 'icmp' }] };
  expect(nics.at(-1)).toMatchObject({ id: networkId, network: networkId, segment });
  expect(new Set(nics.map((n) => n.mac)).size).toBe(nics.length);
  expect(validateRequest(WorkflowRequest.parse(request))).toEqual([]);
  expect(request.params).toMatchObject({ segmentMtu: 1450, networks: spec.nics.map((n) => n.network) });
  expect(await remove(networkId)).toMatchObject({ status: 409, body: { code: 'network.in_use', vmId } });
  const failed = { workflowId: request.workflowId, subject: vmId, name: 'provision-vm', state: 'undone' };
  await h.ended({ ...failed, cause: { code: 'placement.no_host', message: 'no host is known' } });
  await h.eventually(async () => (await h.vm(vmId)).status === 'failed');
  const still = (await remove(networkId)).body;
  expect(still).toMatchObject({ code: 'network.in_use', vms: 1, detail: expect.stringContaining(`until it is deleted: ${vmId}`) });
  const { operation } = (await h.http('DELETE', `/v1/vms/${vmId}`, {})).body;
  await h.run(operation, 'vm.record-deleted', { vmId });
  await h.run(operation, 'vm.record-deleted', { vmId });
  expect(await remove(networkId)).toMatchObject({ status: 200, body: { state: 'deleted' } });
  expect(await remove(networkId)).toMatchObject({ status: 404, body: { code: 'network.unknown' } });
  expect(await events(networkId)).toEqual(['created', 'address-given', 'address-returned', 'deleted']);
});

test('twenty VMs at once have twenty addresses', async () => {
  const { networkId } = await h.network('10.2.0.0/27');
  const answers = await Promise.all(Array.from({ length: 20 }, () => vm([{ network: networkId }])));
  expect(new Set(answers.map((a) => a.status))).toEqual(new Set([202]));
  const addresses = await Promise.all(answers.map(async (a) => (await requested(a.body.vmId)).nics.at(-1)!.segment!.address));
  expect(new Set(addresses).size).toBe(20);
});

test('of two subnets of a tenant that overlap, asked for at once, there is one; another tenant may have the same', async () => {
  const answers = await Promise.all([create({ name: 'a', subnet: '10.3.0.0/16' }), create({ name: 'b', subnet: '10.3.7.0/24' })]);
  expect(answers.map((a) => a.status).sort()).toEqual([201, 409]);
  expect(answers.find((a) => a.status === 409)!.body.code).toBe('network.subnet_overlaps');
  const theirs = await create({ name: 'a', subnet: '10.3.0.0/16' }, 'other');
  expect(theirs.status).toBe(201);
  await remove(theirs.body.networkId, 'other');
  expect((await create({ name: 'a', subnet: '10.3.0.0/16' }, 'other')).status).toBe(201);
});

test('bad input, another tenant, a dry run: a stable code, and nothing is left', async () => {
  const { networkId } = await h.network('10.4.0.0/29');
  const taken = (await vm([{ network: networkId, address: '10.4.0.2' }])).body.vmId;
  const before = await all();
  const refused = async (asked: Promise<{ status: number; body: { code: string } }>, code: string) => expect((await asked).body.code).toBe(code); // prettier-ignore
  for (const subnet of ['10.9.0.1/24', '10.0.0.0/8', '10.9.0.0/30', '127.0.0.0/24', '224.0.0.0/24'])
    await refused(create({ name: 'x', subnet }), 'network.subnet_unusable');
  for (const subnet of ['10.9.0.0', '10.9.0.0/33', '10.9.0.256/24', 'fd00::/64', ''])
    await refused(create({ name: 'x', subnet }), 'request.invalid');
  await refused(create({ name: 'x'.repeat(10_000), subnet: '10.9.0.0/24' }), 'request.invalid');
  await refused(create({ name: 'x', subnet: '10.9.0.0/24', mtu: 100 }), 'request.invalid');
  const on = (address: string) => vm([{ network: networkId, address }]);
  await refused(on('10.4.1.2'), 'network.address_outside');
  for (const address of ['10.4.0.0', '10.4.0.1', '10.4.0.7']) await refused(on(address), 'network.address_reserved');
  expect((await on('10.4.0.2')).body).toMatchObject({ code: 'network.address_taken', vmId: taken });
  await refused(on('10.4.0'), 'request.invalid');
  await refused(vm([{ network: networkId }, { network: networkId }]), 'network.named_twice');
  await refused(vm([{ network: networkId }], {}, 'other'), 'network.unknown');
  await refused(vm([{ network: 'network-0199c0de-0000-7000-8000-00000000dead' }]), 'network.unknown');
  await refused(vm([{ network: networkId }], { allow: [{ protocol: 'tcp', ports: { first: 0, last: 70_000 } }] }), 'request.invalid');
  const port = (first: number, last: number) => ({ protocol: 'tcp', ports: { first, last } });
  for (const rule of [port(90, 80), { protocol: 'tcp', from: '10.4.0.1/24' }]) {
    await refused(vm([{ network: networkId }], { allow: [rule] }), 'request.invalid');
    await refused(h.http('POST', `/v1/vms/${taken}/filter`, { allow: [rule] }), 'request.invalid');
  }
  await refused(vm([], { allow: [{ protocol: 'icmp' }] }), 'vm.on_no_network');
  await refused(remove(networkId, 'other'), 'network.unknown');
  expect(await create({ name: 'x', subnet: '10.9.0.0/24' }, 'main', '?dryRun=true')).toMatchObject({ status: 200, body: { dryRun: true } });
  expect(await h.http('POST', '/v1/vms?dryRun=true', { name: 'x', type: 'small', image: 'linux@1', networks: [{ network: networkId }] })).toMatchObject({ status: 200 }); // prettier-ignore
  expect(await all()).toBe(before);
});

test('a network that is full says so', async () => {
  const { networkId } = await h.network('10.5.0.0/29');
  for (let i = 0; i < 5; i++) expect((await vm([{ network: networkId }])).status).toBe(202);
  expect((await vm([{ network: networkId }])).body.code).toBe('network.addresses_exhausted');
});

test('what may come in is changed by a workflow, which locks the VM; the same again is nothing, and what did not come to its end changes nothing', async () => {
  const { networkId } = await h.network('10.6.0.0/24');
  const { vmId, operation } = (await vm([{ network: networkId }])).body;
  await h.run(operation, 'vm.record-placement', { vmId, hostId: 'a' });
  const shaped = topologyOf(await h.vm(vmId));
  await h.run(operation, 'vm.record-boot', { vmId, epoch: 1, hostId: 'a', ...shaped, at: '2026-01-01T00:00:00.000Z' });
  const icmp = [{ protocol: 'icmp' as const }];
  const filter = (id: string, allow: readonly object[]) =>
    h.http<{ code: string; operation?: string }>('POST', `/v1/vms/${id}/filter`, { allow });
  expect((await filter(vmId, [])).body.operation).toBeUndefined();
  const begun = (await filter(vmId, icmp)).body.operation!;
  const { request } = (await h.store.read(vmId)).at(-1)!.data as { request: WorkflowRequest };
  expect(validateRequest(WorkflowRequest.parse(request))).toEqual([]);
  expect(request).toMatchObject({ workflowId: begun, params: { allow: icmp, before: [], hostId: 'a', epoch: 1 } });
  expect((await filter(vmId, [])).body.code).toBe('vm.in_action');
  const topology = filtered(shaped.topology, icmp);
  await h.run(begun, 'vm.record-filter', { vmId, topology, topologyHash: topologyHash(topology) });
  expect((await h.vm(vmId)).topology?.nics.at(-1)?.segment?.allow).toEqual(icmp);
  expect((await filter(vmId, icmp)).body.operation).toBeUndefined();
  const failing = (await filter(vmId, [])).body.operation!;
  const cause = { code: 'hypervisor.segment_failed', message: 'nft: no' };
  await h.ended({ workflowId: failing, subject: vmId, name: 'set-filter', state: 'undone', cause });
  const back = await h.eventually(async () => !(await h.vm(vmId)).action && h.vm(vmId));
  expect(back.topology?.nics.at(-1)?.segment?.allow).toEqual(icmp);
  const { id } = await h.runningVm();
  expect((await filter(id, icmp)).body.code).toBe('vm.on_no_network');
});
