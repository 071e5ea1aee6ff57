import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { WorkflowRequest } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness, image, spec, topologyOf, withVolume } from '../test/harness.ts';

type Accepted = { readonly volumeId: string; readonly operation: string; readonly code: string; readonly dryRun?: boolean };
let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(() => h?.stop());

const events = async (id: string) => (await h.store.read(id)).map((e) => e.type.replace(/^chrysalis\.provisioning\.volume\.|\.v1$/g, ''));
const create = (body: object, tenant = 'main') => h.http<Accepted>('POST', '/v1/volumes', body, { tenant });
const remove = (id: string, tenant = 'main') => h.http<Accepted>('DELETE', `/v1/volumes/${id}`, undefined, { tenant });

test('a volume is asked for, recorded, deleted; each request is a workflow that is sound', async () => {
  const { status, body } = await create({ name: 'data', sizeMiB: 64, host: 'a' });
  expect(status).toBe(202);
  const { volumeId, operation } = body;
  const request = async (at: number) => WorkflowRequest.parse(((await h.store.read(volumeId))[at]!.data as { request: unknown }).request);
  expect(await request(0)).toMatchObject({ workflowId: operation, params: { pool: 'shared', sizeMiB: 64, host: 'a' } });
  expect(validateRequest(await request(0))).toEqual([]);
  expect((await remove(volumeId)).body.code).toBe('volume.not_ready');
  const recorded = await h.run(operation, 'volume.record-created', { volumeId, hostId: 'a', shared: false });
  expect(recorded).toEqual({ ok: true, output: { pool: 'shared', hostId: 'a' } });
  const deleting = await remove(volumeId);
  expect(deleting.status).toBe(202);
  expect(validateRequest(await request(2))).toEqual([]);
  expect((await request(2)).params).toMatchObject({ host: 'a' }); // no other sees its pool
  expect((await remove(volumeId)).body.operation).toBe(deleting.body.operation);
  await h.run(deleting.body.operation, 'volume.record-deleted', { volumeId });
  expect(await events(volumeId)).toEqual(['requested', 'created', 'deletion-requested', 'deleted']);
  expect(await remove(volumeId)).toMatchObject({ status: 404, body: { code: 'volume.unknown' } });
});

test('what a workflow’s end says is its volume’s state: the first cause, and the way back', async () => {
  const cause = { code: 'placement.no_host', message: 'no host is known' };
  const { volumeId, operation } = (await create({ name: 'lost', sizeMiB: 64 })).body;
  await h.ended({ workflowId: operation, subject: volumeId, name: 'create-volume', state: 'undone', cause });
  const failed = await h.eventually(async () => (await h.volumeNow(volumeId)).status === 'failed' && h.volumeNow(volumeId));
  expect(failed).toMatchObject({ cause, left: false });
  const deleting = (await remove(volumeId)).body.operation;
  const request = (await h.store.read(volumeId)).at(-1)!.data as { request: WorkflowRequest };
  expect(request.request.definition.tasks.map((t) => t.name)).toEqual(['release', 'record']); // nothing of it is on any host
  await h.ended({ workflowId: deleting, subject: volumeId, name: 'delete-volume', state: 'failed', cause });
  await h.eventually(async () => (await h.volumeNow(volumeId)).status === 'failed');
});

test('bad input, another tenant, a dry run: a stable code, and nothing is left', async () => {
  const all = async () => Number((await h.running.service.pool.query('select count(*) from provisioning.events')).rows[0].count);
  const { volumeId } = await h.volume('mine');
  const before = await all();
  for (const bad of [{ name: 'X', sizeMiB: 1 }, { name: 'x', sizeMiB: 0 }, { name: 'x', sizeMiB: 1_048_577 }, { name: 'x'.repeat(10_000), sizeMiB: 1 }, { name: 'x', sizeMiB: 1, colour: 'red' }])
    expect((await create(bad)).body.code).toBe('request.invalid'); // prettier-ignore
  expect((await create({ name: 'x' })).body.code).toBe('volume.size_missing');
  expect((await remove(volumeId, 'other')).body.code).toBe('volume.unknown');
  expect((await remove('volume-0199c0de-0000-7000-8000-00000000dead')).body.code).toBe('volume.unknown');
  expect(await h.http('POST', '/v1/volumes?dryRun=true', { name: 'x', sizeMiB: 1 })).toMatchObject({ status: 200, body: { dryRun: true } });
  expect(await h.http('DELETE', `/v1/volumes/${volumeId}?dryRun=true`)).toMatchObject({ status: 200, body: { dryRun: true } });
  expect(await all()).toBe(before);
});

type Acted = Accepted & { readonly state: string };
const ask = (id: string, verb: string, body: object = {}, tenant = 'main') =>
  h.http<Acted>('POST', `/v1/volumes/${id}/${verb}`, body, { tenant });
const requestOf = async (id: string) => WorkflowRequest.parse(((await h.store.read(id)).at(-1)!.data as { request: unknown }).request);

test('attached, grown and detached: volume and VM are told in one commit, and the VM is locked meanwhile', async () => {
  const vm = await h.runningVm('web');
  const { volumeId } = await h.volume('data');
  const { status, body } = await ask(volumeId, 'attach', { vm: vm.id });
  expect([status, body.state]).toEqual([202, 'available']);
  expect(validateRequest(await requestOf(volumeId))).toEqual([]);
  expect((await requestOf(volumeId)).params).toMatchObject({ vmId: vm.id, hostId: 'a', epoch: 1, disk: { id: volumeId, sizeMiB: 64 } });
  expect((await ask(volumeId, 'attach', { vm: vm.id })).body.operation).toBe(body.operation);
  expect((await h.http('POST', `/v1/vms/${vm.id}/stop`, {})).body.code).toBe('vm.in_action');
  expect((await h.http('DELETE', `/v1/vms/${vm.id}`)).body.code).toBe('vm.in_action');
  const shape = withVolume(vm, volumeId);
  const record = { volumeId, vmId: vm.id, ...shape };
  expect(await h.run(body.operation, 'volume.record-attached', { ...record, seen: true })).toMatchObject({ ok: true });
  expect(await h.vm(vm.id)).toMatchObject({ status: 'running', topologyHash: shape.topologyHash });
  expect((await h.vm(vm.id)).action).toBeUndefined();
  expect((await ask(volumeId, 'attach', { vm: vm.id })).body).toEqual({ volumeId, state: 'attached' });

  const other = await h.runningVm('other');
  expect((await ask(volumeId, 'attach', { vm: other.id })).body.code).toBe('volume.attached');
  expect((await remove(volumeId)).body.code).toBe('volume.attached');
  expect((await ask(volumeId, 'grow', { sizeMiB: 63 })).body.code).toBe('volume.shrink_refused');

  const growing = (await ask(volumeId, 'grow', { sizeMiB: 128 })).body.operation;
  expect(validateRequest(await requestOf(volumeId))).toEqual([]);
  const grown = withVolume(vm, volumeId, 128);
  await h.run(growing, 'volume.record-grown', { volumeId, sizeMiB: 128, vmId: vm.id, ...grown });
  expect(await h.volumeNow(volumeId)).toMatchObject({ sizeMiB: 128, status: 'attached' });
  expect((await h.vm(vm.id)).topologyHash).toBe(grown.topologyHash);

  // Refused by the guest: it is the VM's as before, and the VM is free.
  const refused = (await ask(volumeId, 'detach')).body.operation;
  expect(validateRequest(await requestOf(volumeId))).toEqual([]);
  const cause = { code: 'host.guest_uses_volume', message: '/dev/vdb is mounted at /mnt' };
  await h.ended({ workflowId: refused, subject: volumeId, name: 'detach-volume', state: 'undone', cause });
  await h.eventually(async () => (await h.volumeNow(volumeId)).action === undefined);
  expect(await h.volumeNow(volumeId)).toMatchObject({ status: 'attached', vmId: vm.id, cause });
  expect((await h.vm(vm.id)).action).toBeUndefined();

  const detaching = (await ask(volumeId, 'detach', { force: true })).body.operation;
  expect((await requestOf(volumeId)).params).toMatchObject({ force: true });
  await h.run(detaching, 'volume.record-detached', { volumeId, vmId: vm.id, ...topologyOf(vm) });
  expect(await h.volumeNow(volumeId)).toMatchObject({ status: 'available' });
  expect((await ask(volumeId, 'detach')).body).toEqual({ volumeId, state: 'available' });
  expect((await ask(volumeId, 'attach', { vm: other.id })).status).toBe(202);
  expect(await events(volumeId)).toEqual([
    ...['requested', 'created', 'attach-requested', 'attached', 'grow-requested', 'grown', 'detach-requested', 'action-failed'],
    ...['detach-requested', 'detached', 'attach-requested'],
  ]);
});

test('where the VM has other things to do, neither says anything; another tenant’s VM is no VM', async () => {
  const vm = await h.runningVm('busy');
  const { volumeId } = await h.volume('idle');
  await h.http('POST', `/v1/vms/${vm.id}/stop`, {});
  expect((await ask(volumeId, 'attach', { vm: vm.id })).body.code).toBe('vm.in_action');
  expect((await ask(volumeId, 'attach', { vm: 'vm-0199c0de-0000-7000-8000-00000000dead' })).body.code).toBe('vm.unknown');
  expect((await ask(volumeId, 'attach', { vm: vm.id }, 'other')).body.code).toBe('volume.unknown');
  expect((await ask(volumeId, 'attach')).body.code).toBe('request.invalid');
  expect(await events(volumeId)).toEqual(['requested', 'created']);
  const placed = (await create({ name: 'here', sizeMiB: 64, pool: 'local' })).body;
  await h.run(placed.operation, 'volume.record-created', { volumeId: placed.volumeId, hostId: 'elsewhere', shared: false });
  expect((await ask(placed.volumeId, 'attach', { vm: (await h.runningVm('far')).id })).body.code).toBe('volume.not_on_host');
});

test('a VM that is deleted leaves its volumes, or takes them along where that is asked for', async () => {
  for (const volumes of ['keep', 'delete'] as const) {
    const vm = await h.runningVm(`gone-${volumes}`);
    const { volumeId } = await h.attached(vm);
    const { operation } = (await h.http('DELETE', `/v1/vms/${vm.id}`, { volumes })).body;
    expect(await h.run(operation, 'vm.record-deleted', { vmId: vm.id })).toMatchObject({ ok: true });
    expect(await h.volumeNow(volumeId)).toMatchObject({ status: volumes === 'keep' ? 'available' : 'deleting' });
    expect((await events(volumeId)).slice(4)).toEqual(['detached', ...(volumes === 'delete' ? ['deletion-requested'] : [])]);
  }
});
