import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { bootingFrom, plugged, topologyHash, type WorkflowRequest } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness, image, spec, topologyOf } from './test/harness.ts';

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  const disk = { format: 'raw', sizeMiB: 16 };
  await h.http('POST', '/v1/images', { image });
  await h.http('POST', '/v1/images', { image: { ...image, name: 'disk', cmdline: '', disk } });
});
afterAll(() => h?.stop());

type Said = { code: string; bootOrder?: string[]; pending?: { now: string; next: string }[]; operation: string };
const set = (id: string, body: object, query = '') => h.http<Said>('PATCH', `/v1/vms/${id}${query}`, body);
const act = (id: string, action: string) => h.http<Said>('POST', `/v1/vms/${id}/${action}`, {});
const at = '2026-01-01T00:00:00.000Z';

/** With a root disk and another. */
const running = async (): Promise<string> => {
  const { vmId, operation } = (await h.http('POST', '/v1/vms', { name: 'web', type: 'small', image: 'disk@1' })).body;
  await h.run(operation, 'vm.record-placement', { vmId, hostId: 'a' });
  const bare = topologyOf(await h.vm(vmId)).topology;
  const disks = ['root', 'data'].map((id, port) => ({ id, port, serial: id, sizeMiB: 16, format: 'qcow2' as const, pool: 'shared', volume: `${id}.qcow2`, readOnly: false })); // prettier-ignore
  const topology = { ...bare, disks, image: { ...bare.image, name: 'disk', cmdline: '', disk: { format: 'raw' as const, sizeMiB: 16 } } };
  await h.run(operation, 'vm.record-boot', { vmId, epoch: 1, hostId: 'a', topology, topologyHash: topologyHash(topology), at });
  return vmId;
};

test('what it boots from is pending while it runs, over a reboot too; its next start is told, and then nothing is', async () => {
  const id = await running();
  expect((await set(id, { bootOrder: ['data', 'root'] }, '?dryRun=true')).body.pending).toMatchObject([{ now: 'root', next: 'data,root' }]);
  expect((await set(id, { name: 'web' })).body).not.toHaveProperty('pending');
  for (const _ of [1, 2]) expect((await set(id, { bootOrder: ['data', 'root'] })).body).toMatchObject({ bootOrder: ['data', 'root'], pending: [{ what: 'boot-order', now: 'root', next: 'data,root' }] }); // prettier-ignore
  const reboot = (await act(id, 'reboot')).body.operation;
  await h.run(reboot, 'vm.record-action', { vmId: id, at, how: 'guest-agent' });
  expect((await set(id, { name: 'web' })).body.pending).toHaveLength(1);
  await h.run((await act(id, 'stop')).body.operation, 'vm.record-action', { vmId: id, at, how: 'acpi' });
  expect((await set(id, { name: 'web' })).body).not.toHaveProperty('pending');
  const start = (await act(id, 'start')).body.operation;
  const { request } = (await h.store.read(id)).at(-1)!.data as { request: WorkflowRequest };
  expect(validateRequest(request)).toEqual([]);
  expect(request.params).toMatchObject({ bootOrder: ['data', 'root'] });
  const topology = bootingFrom((await h.vm(id)).topology!, ['data', 'root']);
  await h.run(start, 'vm.record-action', { vmId: id, at, topology, topologyHash: topologyHash(topology) });
  expect((await set(id, { name: 'web' })).body).not.toHaveProperty('pending');
  expect((await set(id, { bootOrder: [] })).body).toMatchObject({ bootOrder: [], pending: [{ now: 'data,root', next: 'root' }] });
});

test('what cannot be is refused with a code', async () => {
  const id = await running();
  const refused = async (vm: string, bootOrder: unknown, code: string) => expect((await set(vm, { bootOrder })).body.code).toBe(code);
  await refused(id, ['ghost'], 'vm.boot_device_unknown');
  await refused(id, ['root', 'root'], 'request.invalid');
  await refused(id, 'root', 'request.invalid');
  await refused((await h.runningVm()).id, ['data'], 'vm.boots_kernel');
});

test('a start leaves out the CPUs that could not be unplugged, however often it is asked, and no other start says a word of them', async () => {
  const vm = await h.runningVm('shrunk');
  const cpu = { kind: 'cpu' as const, id: 'cpu1', coreId: 1 };
  const more = plugged(vm.topology!, cpu);
  await h.run(vm.operation, 'vm.record-topology', { vmId: vm.id, topology: more, topologyHash: topologyHash(more), reason: 'test' });
  expect((await set(vm.id, { name: 'web' })).body.pending).toMatchObject([{ what: 'vcpus', next: String(vm.spec.vcpus.now) }]);
  const params = async (): Promise<object> => {
    await h.run((await act(vm.id, 'stop')).body.operation, 'vm.record-action', { vmId: vm.id, at, how: 'acpi' });
    const start = (await act(vm.id, 'start')).body.operation;
    const { request } = (await h.store.read(vm.id)).at(-1)!.data as { request: WorkflowRequest };
    expect(validateRequest(request)).toEqual([]);
    await h.run(start, 'vm.record-action', { vmId: vm.id, at, topology: vm.topology, topologyHash: vm.topologyHash });
    return request.params;
  };
  expect(await params()).toMatchObject({ vcpus: vm.spec.vcpus.now });
  expect((await set(vm.id, { name: 'web' })).body).not.toHaveProperty('pending');
  expect(await params()).not.toHaveProperty('vcpus');
});
