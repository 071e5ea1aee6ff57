import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { plugged, topologyHash, unplugged, WorkflowRequest, type Nic, type Topology } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import fc from 'fast-check';
import { Harness, image, spec } from '../test/harness.ts';

let h: Harness;
let subnets = 0;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(() => h?.stop());

type Said = { code: string; operation?: string; address: string; vmId: string };
const network = async (): Promise<string> => (await h.network(`10.9.${++subnets}.0/29`)).networkId;
const attach = (id: string, body: object, query = '') => h.http<Said>('POST', `/v1/vms/${id}/nics${query}`, body);
const detach = (id: string, networkId: string) => h.http<Said>('DELETE', `/v1/vms/${id}/nics/${networkId}`);
const owners = async (networkId: string): Promise<string[]> => {
  const { rows } = await h.running.service.pool.query('select vm from provisioning.network_addresses where network = $1', [networkId]);
  return rows.map((r) => String(r.vm));
};
const macsOf = async (vm: string): Promise<number> =>
  (await h.running.service.pool.query('select 1 from provisioning.guest_addresses where vm = $1', [vm])).rowCount!;
const hashed = (topology: Topology) => ({ topology, topologyHash: topologyHash(topology) });
const askedOf = async (id: string) => {
  const { request } = (await h.store.read(id)).at(-1)!.data as { request: WorkflowRequest };
  expect(validateRequest(WorkflowRequest.parse(request))).toEqual([]);
  return request.params as { nic: Omit<Nic, 'port'>; networkId: string };
};
/** As its host and its workflow do it. */
const attached = async (id: string, networkId: string, more: object = {}): Promise<Said> => {
  const { body } = await attach(id, { network: networkId, ...more });
  const { nic } = await askedOf(id);
  await h.run(body.operation!, 'vm.record-nic', {
    vmId: id,
    ...hashed(plugged((await h.vm(id)).topology!, { kind: 'nic', ...nic, port: 6 })),
  });
  return body;
};
const detached = async (id: string, networkId: string): Promise<void> => {
  const { operation } = (await detach(id, networkId)).body;
  await h.run(operation!, 'vm.record-nic', { vmId: id, ...hashed(unplugged((await h.vm(id)).topology!, { kind: 'nic', id: networkId })) });
};

test('a NIC comes with an address and goes with it; the same again is nothing, and the VM is locked meanwhile', async () => {
  const [{ id }, networkId] = [await h.runningVm(), await network()];
  const before = await macsOf(id);
  expect((await detach(id, networkId)).body).not.toHaveProperty('operation');
  expect((await attach(id, { network: networkId }, '?dryRun=true')).status).toBe(200);
  expect(await owners(networkId)).toEqual([]);
  const address = `10.9.${subnets}.5`;
  const said = await attached(id, networkId, { address, allow: [{ protocol: 'icmp' }] });
  expect(said).toMatchObject({ address, operation: expect.stringMatching(/^op-/) });
  const vm = await h.vm(id);
  expect(vm.topology!.nics.at(-1)).toMatchObject({ id: networkId, segment: { address, allow: [{ protocol: 'icmp' }] } });
  expect([await owners(networkId), await macsOf(id)]).toEqual([[id], before + 1]);
  expect((await attach(id, { network: networkId })).body).toEqual({ vmId: id, status: 'running', address });
  expect((await attach(id, { network: networkId, address: `10.9.${subnets}.6` })).body).toMatchObject({
    code: 'network.joined',
    vmId: id,
    address,
  });
  const going = (await detach(id, networkId)).body;
  expect(await askedOf(id)).toMatchObject({ networkId });
  expect((await detach(id, networkId)).body.code).toBe('vm.in_action');
  expect((await attach(id, { network: networkId })).body.code).toBe('vm.in_action');
  expect(await owners(networkId)).toEqual([id]);
  const without = hashed(unplugged(vm.topology!, { kind: 'nic', id: networkId }));
  for (const _ of [1, 2]) await h.run(going.operation!, 'vm.record-nic', { vmId: id, ...without });
  expect([await owners(networkId), await macsOf(id)]).toEqual([[], before]);
  await attached(id, networkId);
  expect(await owners(networkId)).toEqual([id]);
});

test('what did not come to its end and was undone gives the address back; what may stand keeps it until it is detached', async () => {
  const [{ id }, networkId] = [await h.runningVm(), await network()];
  const cause = { code: 'host.nic_not_delivered', message: 'the guest does not show it' };
  const fails = async (state: string): Promise<void> => {
    const { operation } = (await attach(id, { network: networkId })).body;
    await h.ended({ workflowId: operation!, subject: id, name: 'attach-nic', state, cause });
    await h.eventually(async () => !(await h.vm(id)).action);
  };
  await fails('undone');
  expect(await owners(networkId)).toEqual([]);
  await fails('failed');
  expect(await owners(networkId)).toEqual([id]);
  const { operation } = (await detach(id, networkId)).body;
  await h.ended({ workflowId: operation!, subject: id, name: 'detach-nic', state: 'failed', cause });
  await h.eventually(async () => !(await h.vm(id)).action);
  expect(await owners(networkId)).toEqual([id]);
  await detached(id, networkId);
  expect(await owners(networkId)).toEqual([]);
});

test('bad input, another’s network, a VM that cannot: a stable code, and no address is taken', async () => {
  const [{ id }, networkId, other] = [await h.runningVm(), await network(), await network()];
  const refused = async (said: Promise<{ body: Said }>, code: string) => expect((await said).body.code).toBe(code);
  await refused(attach(id, { network: 'network-0199c0de-0000-7000-8000-00000000dead' }), 'network.unknown');
  await refused(detach(id, 'network-0199c0de-0000-7000-8000-00000000dead'), 'network.unknown');
  await refused(attach(id, { network: 'front' }), 'request.invalid');
  await refused(detach(id, 'front'), 'request.invalid');
  await refused(attach(id, { network: networkId, address: '10.0.0.1' }), 'network.address_outside');
  await refused(attach(id, { network: networkId, address: `10.9.${subnets - 1}.1` }), 'network.address_reserved');
  await refused(attach('vm-0199c0de-0000-7000-8000-00000000dead', { network: networkId }), 'vm.unknown');
  const { vmId } = (await h.http('POST', '/v1/vms', { name: 'new', type: 'small', image: 'linux@1' })).body;
  await refused(attach(vmId, { network: networkId }), 'vm.not_ready');
  expect(await owners(networkId)).toEqual([]);
  await attached(id, networkId, { allow: [{ protocol: 'icmp' }] });
  await refused(attach(id, { network: other, allow: [{ protocol: 'tcp' }] }), 'vm.filter_differs');
  expect(await owners(other)).toEqual([]);
  await attached(id, other);
  expect((await h.vm(id)).topology!.nics.map((n) => n.segment?.allow)).toEqual([[{ protocol: 'icmp' }], [{ protocol: 'icmp' }]]);
});

test('attached, detached, given up, in whatever order: an address is had by whose hardware has the NIC, or may have it', async () => {
  const [{ id }, networkId] = [await h.runningVm(), await network()];
  const cause = { code: 'host.guest_silent', message: 'no' };
  const gaveUp = (name: string, state: string) => async (): Promise<void> => {
    const { operation } = (await (name === 'attach-nic' ? attach(id, { network: networkId }) : detach(id, networkId))).body;
    if (!operation) return;
    await h.ended({ workflowId: operation, subject: id, name, state, cause });
    await h.eventually(async () => !(await h.vm(id)).action);
  };
  const has = async (): Promise<boolean> => (await h.vm(id)).topology!.nics.some((n) => n.id === networkId);
  const deeds = {
    attach: async () => void ((await has()) ? expect((await attach(id, { network: networkId })).body.operation).toBeUndefined() : await attached(id, networkId)),
    detach: async () => void ((await owners(networkId)).length > 0 ? await detached(id, networkId) : expect((await detach(id, networkId)).body.operation).toBeUndefined()),
    attachUndone: gaveUp('attach-nic', 'undone'),
    attachLeft: gaveUp('attach-nic', 'failed'),
    detachFailed: gaveUp('detach-nic', 'failed'),
  }; // prettier-ignore
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom(...(Object.keys(deeds) as (keyof typeof deeds)[])), { maxLength: 8 }), async (order) => {
      for (const deed of order) {
        await deeds[deed]();
        const had = await owners(networkId);
        if (await has()) expect(had).toEqual([id]);
        expect(had.length).toBeLessThanOrEqual(1);
      }
    }),
    { numRuns: 6 },
  );
});
