import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { WorkflowRequest } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness, image, spec, withAddress } from '../test/harness.ts';
import type { VmView } from '../vm-view.ts';

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(() => h?.stop());

type Said = { code: string; addressId: string; address: string; operation?: string; state: string; vmId: string; detail: string };
const reserve = (body: object, tenant = 'main', query = '') => h.http<Said>('POST', `/v1/addresses${query}`, body, { tenant });
const ask = (id: string, verb: 'bind' | 'unbind', body: object = {}, tenant = 'main') =>
  h.http<Said>('POST', `/v1/addresses/${id}/${verb}`, body, { tenant });
const release = (id: string, tenant = 'main') => h.http<Said>('DELETE', `/v1/addresses/${id}`, undefined, { tenant });
const events = async (id: string) => (await h.store.read(id)).map((e) => e.type.replace(/^chrysalis\.provisioning\.\w+\.|\.v1$/g, ''));
const deleted = async (vmId: string): Promise<void> => {
  const { operation } = (await h.http('DELETE', `/v1/vms/${vmId}`, {})).body;
  await h.run(operation, 'vm.record-deleted', { vmId });
};
const requestOf = async (id: string) => WorkflowRequest.parse(((await h.store.read(id)).at(-1)!.data as { request: unknown }).request);
const furtherOf = async ({ id }: VmView) => (await h.vm(id)).topology!.nics.at(-1)!.segment!.further;
const cause = { code: 'hypervisor.segment_failed', message: 'nft: no' };

test('an address is reserved, bound, moved, unbound, kept when its VM is deleted, and released; its network waits for all of it', async () => {
  const { networkId } = await h.network('10.1.0.0/24');
  const [web, db] = [await h.runningVm('web', [{ network: networkId }]), await h.runningVm('db', [{ network: networkId }])];
  const { addressId } = (await reserve({ network: networkId, address: '10.1.0.50', name: 'www' })).body;
  expect(await h.addressNow(addressId)).toMatchObject({ status: 'reserved', name: 'www', tenant: 'main', address: '10.1.0.50' });
  const bound = await ask(addressId, 'bind', { vm: web.id });
  expect(bound.status).toBe(202);
  const request = await requestOf(addressId);
  expect(validateRequest(request)).toEqual([]);
  expect(request).toMatchObject({ definition: { name: 'bind-address' }, params: { vmId: web.id, hostId: 'a', epoch: 1, address: '10.1.0.50' } }); // prettier-ignore
  expect((await h.vm(web.id)).action).toMatchObject({ action: 'bind-address', operation: bound.body.operation });
  expect((await ask(addressId, 'bind', { vm: web.id })).body.operation).toBe(bound.body.operation);
  expect((await ask(addressId, 'bind', { vm: db.id, move: true })).body.code).toBe('address.in_action');
  expect((await h.http('DELETE', `/v1/vms/${web.id}`, {})).body.code).toBe('vm.in_action');
  await h.bind(addressId, web);
  expect(await furtherOf(web)).toEqual(['10.1.0.50']);
  expect((await h.vm(web.id)).action).toBeUndefined();
  expect((await ask(addressId, 'bind', { vm: web.id })).body).toEqual({ addressId, state: 'bound' });

  expect((await ask(addressId, 'bind', { vm: db.id })).body).toMatchObject({ code: 'address.bound', vmId: web.id });
  await ask(addressId, 'bind', { vm: db.id, move: true });
  const moving = await requestOf(addressId);
  expect(validateRequest(moving)).toEqual([]);
  expect(moving).toMatchObject({ definition: { name: 'move-address' }, params: { vmId: db.id, fromVmId: web.id, fromHostId: 'a', fromEpoch: 1 } }); // prettier-ignore
  expect([(await h.vm(web.id)).action, (await h.vm(db.id)).action].map((x) => x?.action)).toEqual(['bind-address', 'bind-address']);
  await h.bind(addressId, db, true);
  expect([await furtherOf(web), await furtherOf(db)]).toEqual([undefined, ['10.1.0.50']]);
  expect([(await h.vm(web.id)).action, (await h.vm(db.id)).action]).toEqual([undefined, undefined]);

  const { operation } = (await ask(addressId, 'unbind')).body;
  const lacks = withAddress(await h.vm(db.id), await h.addressNow(addressId), false);
  for (let twice = 0; twice < 2; twice++) await h.run(operation!, 'address.record-unbound', { addressId, vmId: db.id, ...lacks });
  expect((await ask(addressId, 'unbind')).body).toEqual({ addressId, state: 'reserved' });
  await h.bind(addressId, db);
  expect((await release(addressId)).body).toMatchObject({ code: 'address.bound', vmId: db.id });
  const leaves = await h.http<Said>('DELETE', `/v1/vms/${db.id}/nics/${networkId}`);
  expect(leaves.body).toMatchObject({ code: 'address.bound', addressId }); // it goes with its NIC
  await deleted(db.id);
  expect(await h.addressNow(addressId)).toMatchObject({ status: 'reserved' });
  expect((await h.addressNow(addressId)).vmId).toBeUndefined();
  await deleted(web.id);
  const refused = await h.http<Said & { reserved: number }>('DELETE', `/v1/networks/${networkId}`);
  expect(refused.body).toMatchObject({ code: 'network.in_use', reserved: 1, addressId, detail: 'an address of it is reserved' });
  expect(await release(addressId)).toMatchObject({ status: 200, body: { state: 'deleted' } });
  expect((await release(addressId)).body.code).toBe('address.unknown');
  expect((await h.http('DELETE', `/v1/networks/${networkId}`)).status).toBe(200);
  const twice = ['bind-requested', 'bound'];
  expect(await events(addressId)).toEqual(['reserved', ...twice, ...twice, 'unbind-requested', 'unbound', ...twice, 'unbound', 'released']);
});

test('twenty at once have twenty addresses, and one address that twenty ask for has one; VMs and reservations share one ledger', async () => {
  const { networkId } = await h.network('10.2.0.0/24');
  const answers = await Promise.all(Array.from({ length: 20 }, () => reserve({ network: networkId })));
  expect(new Set(answers.map((x) => x.body.address)).size).toBe(20);
  const same = await Promise.all(Array.from({ length: 20 }, () => reserve({ network: networkId, address: '10.2.0.77' })));
  expect(same.filter((x) => x.status === 201)).toHaveLength(1);
  expect(new Set(same.filter((x) => x.status !== 201).map((x) => x.body.code))).toEqual(new Set(['network.address_taken']));
  const vm = (address: string) => h.http('POST', '/v1/vms', { name: 'x', type: 'small', image: 'linux@1', networks: [{ network: networkId, address }] }); // prettier-ignore
  expect((await vm('10.2.0.77')).body.code).toBe('network.address_taken');
  expect((await vm('10.2.0.78')).status).toBe(202);
  expect((await reserve({ network: networkId, address: '10.2.0.78' })).body.code).toBe('network.address_taken');
});

test('two that are asked for one address at once: one VM has it; two moves that cross end', async () => {
  const { networkId } = await h.network('10.3.0.0/24');
  const [one, two] = [await h.runningVm('one', [{ network: networkId }]), await h.runningVm('two', [{ network: networkId }])];
  const [x, y] = [(await reserve({ network: networkId })).body.addressId, (await reserve({ network: networkId })).body.addressId];
  const answers = await Promise.all([one, two].map((vm) => ask(x, 'bind', { vm: vm.id })));
  expect(answers.map((q) => q.status).sort()).toEqual([202, 409]);
  const winner = (await h.addressNow(x)).action!.vmId === one.id ? one : two;
  const loser = winner === one ? two : one;
  expect((await h.vm(loser.id)).action).toBeUndefined();
  await h.bind(x, winner);
  await h.bind(y, loser);
  const crossing = await Promise.all([ask(x, 'bind', { vm: loser.id, move: true }), ask(y, 'bind', { vm: winner.id, move: true })]);
  expect(crossing.map((q) => q.status).sort()).toEqual([202, 409]);
});

test('a move that was taken back leaves both VMs free and the address where it was; one that could not be says so until it is settled', async () => {
  const { networkId } = await h.network('10.4.0.0/24');
  const [web, db] = [await h.runningVm('web', [{ network: networkId }]), await h.runningVm('db', [{ network: networkId }])];
  const { addressId } = (await reserve({ network: networkId })).body;
  await h.bind(addressId, web);
  const move = async (state: string) => {
    const { operation } = (await ask(addressId, 'bind', { vm: db.id, move: true })).body;
    await h.ended({ workflowId: operation!, subject: addressId, name: 'move-address', state, cause });
    await h.eventually(async () => !(await h.addressNow(addressId)).action && !(await h.vm(web.id)).action && !(await h.vm(db.id)).action);
  };
  await move('undone');
  expect(await h.addressNow(addressId)).toMatchObject({ status: 'bound', vmId: web.id, cause });
  expect((await h.addressNow(addressId)).unsettled).toBeUndefined();
  await move('failed');
  expect(await h.addressNow(addressId)).toMatchObject({ vmId: web.id, unsettled: db.id });
  expect((await ask(addressId, 'unbind')).body.code).toBe('address.unsettled');
  await h.bind(addressId, web, true);
  expect(await h.addressNow(addressId)).toMatchObject({ status: 'bound', vmId: web.id });
  expect((await h.addressNow(addressId)).unsettled).toBeUndefined();
});

test('bad input, another tenant, another network, a dry run: a stable code, and nothing is left', async () => {
  const { networkId } = await h.network('10.5.0.0/29');
  const other = await h.network('10.6.0.0/29');
  const vm = await h.runningVm('web', [{ network: other.networkId }]);
  const off = (await h.http('POST', '/v1/vms', { name: 'new', type: 'small', image: 'linux@1', networks: [{ network: networkId }] })).body;
  const { addressId } = (await reserve({ network: networkId })).body;
  const count = async () => (await h.running.service.pool.query('select count(*) from provisioning.events')).rows[0].count as string;
  const before = await count();
  const refused = async (said: Promise<{ status: number; body: { code: string } }>, status: number, code: string) => {
    const { status: was, body } = await said;
    expect({ status: was, code: body.code }).toEqual({ status, code });
  };
  await refused(reserve({ network: networkId, address: '10.5.1.2' }), 422, 'network.address_outside');
  for (const address of ['10.5.0.0', '10.5.0.1', '10.5.0.7']) await refused(reserve({ network: networkId, address }), 422, 'network.address_reserved'); // prettier-ignore
  await refused(reserve({ network: networkId, address: 'ten' }), 422, 'request.invalid');
  await refused(reserve({ network: networkId, name: '10.5.0.3' }), 422, 'request.invalid');
  await refused(reserve({ network: 'network-0199c0de-0000-7000-8000-00000000dead' }), 422, 'network.unknown');
  await refused(reserve({ network: networkId }, 'other'), 422, 'network.unknown');
  await refused(ask(addressId, 'bind', { vm: vm.id }), 409, 'address.not_on_network');
  await refused(ask(addressId, 'bind', { vm: off.vmId }), 409, 'vm.not_ready');
  await refused(ask(addressId, 'bind', { vm: 'vm-nobody' }), 422, 'vm.unknown');
  await refused(ask(addressId, 'bind', {}), 422, 'request.invalid');
  await refused(ask(addressId, 'bind', { vm: vm.id }, 'other'), 404, 'address.unknown');
  await refused(ask(addressId, 'unbind', {}, 'other'), 404, 'address.unknown');
  await refused(release(addressId, 'other'), 404, 'address.unknown');
  await refused(release('address-0199c0de-0000-7000-8000-00000000dead'), 404, 'address.unknown');
  expect((await ask(addressId, 'unbind')).body).toEqual({ addressId, state: 'reserved' });
  expect(await reserve({ network: networkId }, 'main', '?dryRun=true')).toMatchObject({ status: 200, body: { dryRun: true } });
  expect(await count()).toBe(before);
  for (let i = 0; i < 3; i++) await reserve({ network: networkId });
  await refused(reserve({ network: networkId }), 409, 'network.addresses_exhausted');
});
