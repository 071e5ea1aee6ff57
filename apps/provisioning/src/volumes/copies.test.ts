import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { WorkflowRequest, type Image } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness, image, spec } from '../test/harness.ts';

type Accepted = { readonly volumeId: string; readonly operation: string; readonly code: string; readonly detail?: string };
let h: Harness;
const disk: Image = { name: 'debian', version: 1, digest: `sha256:${'d'.repeat(64)}`, cmdline: '', disk: { format: 'raw', sizeMiB: 32 } };
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  for (const one of [image, disk]) await h.http('POST', '/v1/images', { image: one });
});
afterAll(() => h?.stop());

const create = (body: object, tenant = 'main') => h.http<Accepted>('POST', '/v1/volumes', { name: 'copy', ...body }, { tenant });
const events = async (id: string) => (await h.store.read(id)).map((e) => e.type.replace(/^chrysalis\.provisioning\.\w+\.|\.v1$/g, ''));
const requestOf = async (id: string) => WorkflowRequest.parse(((await h.store.read(id))[0]!.data as { request: unknown }).request);

test('a volume of an image: as large as that unless told, never smaller, of a disk alone', async () => {
  const { volumeId, operation } = (await create({ from: { image: 'debian' } })).body;
  const request = await requestOf(volumeId);
  expect(validateRequest(request)).toEqual([]);
  expect(request.params).toMatchObject({ sizeMiB: 32, from: { kind: 'image', image: disk } });
  expect((await create({ from: { image: 'debian@1' }, sizeMiB: 31 })).body.code).toBe('volume.source_larger');
  expect((await create({ from: { image: 'debian@2' } })).body.code).toBe('image.unknown');
  expect((await create({ from: { image: 'linux' }, sizeMiB: 64 })).body.code).toBe('image.no_disk');
  expect((await create({ from: { image: 'debian', volume: volumeId } })).body.code).toBe('request.invalid');

  // While it is being made the image stays, and so it does while a VM of it is there.
  const drop = (version = 1, dry = '') => h.http<{ code: string; detail: string }>('DELETE', `/v1/images/debian/${version}${dry}`);
  expect(await drop()).toMatchObject({ status: 409, body: { code: 'image.in_use', detail: expect.stringContaining(volumeId) } });
  await h.run(operation, 'volume.record-created', { volumeId, hostId: 'a', shared: true });
  const vm = (await h.http('POST', '/v1/vms', { name: 'web', type: 'small', image: 'debian' })).body;
  expect(await drop()).toMatchObject({ status: 409, body: { code: 'image.in_use', detail: expect.stringContaining(vm.vmId) } });
  await h.ended({ workflowId: vm.operation, subject: vm.vmId, name: 'provision-vm', state: 'undone', cause: { code: 'x.y', message: '' } });
  await h.eventually(async () => (await h.vm(vm.vmId)).status === 'failed');

  const [file, mark] = ['', '.gone'].map((end) => join(h.depot, `${'d'.repeat(64)}.raw${end}`)) as [string, string];
  writeFileSync(file, 'a disk');
  expect((await drop(1, '?dryRun=true')).status).toBe(200);
  expect(existsSync(file)).toBe(true);
  expect((await drop()).status).toBe(200);
  expect((await drop()).status).toBe(200); // it is so already
  expect((await drop(7)).body.code).toBe('image.unknown');
  await h.eventually(() => Promise.resolve(!existsSync(file) && existsSync(mark)));
  expect((await create({ from: { image: 'debian' } })).body.code).toBe('image.unknown');
  expect((await h.http('POST', '/v1/vms', { name: 'web', type: 'small', image: 'debian' })).body.code).toBe('image.unknown');
  // Its number is nobody else's: the same content may come back, another may not.
  const again = (content: Image) => h.http<{ code?: string; highest?: number }>('POST', '/v1/images', { image: content });
  expect((await again({ ...disk, digest: `sha256:${'e'.repeat(64)}` })).body).toMatchObject({ code: 'image.deleted', highest: 1 });
  expect((await again(disk)).status).toBe(201);
  expect(await events('image-debian')).toEqual(['registered', 'deleted', 'registered']);
});

test('a volume of a volume: nobody writes to that meanwhile, and however it ends it is anybody’s again', async () => {
  const source = await h.volume('source', 64);
  const vm = await h.runningVm('busy');
  const first = (await create({ from: { volume: source.volumeId } })).body;
  expect(validateRequest(await requestOf(first.volumeId))).toEqual([]);
  expect((await requestOf(first.volumeId)).params).toMatchObject({
    sizeMiB: 64,
    from: { kind: 'volume', volume: `${source.volumeId}.qcow2` },
  });
  const attach = () => h.http<Accepted>('POST', `/v1/volumes/${source.volumeId}/attach`, { vm: vm.id });
  expect((await attach()).body).toMatchObject({ code: 'volume.in_action', operation: first.operation });
  expect((await create({ from: { volume: source.volumeId } })).body.code).toBe('volume.in_action');
  await h.run(first.operation, 'volume.record-created', { volumeId: first.volumeId, hostId: 'a', shared: true });
  expect((await h.volumeNow(source.volumeId)).action).toBeUndefined();

  const second = (await create({ from: { volume: source.volumeId }, sizeMiB: 128 })).body;
  const cause = { code: 'hypervisor.pool_full', message: 'no space left' };
  await h.ended({ workflowId: second.operation, subject: second.volumeId, name: 'create-volume', state: 'undone', cause });
  await h.eventually(async () => (await h.volumeNow(source.volumeId)).action === undefined);
  expect(await events(source.volumeId)).toEqual(['requested', 'created', 'copy-begun', 'copy-ended', 'copy-begun', 'copy-ended']);

  expect((await attach()).status).toBe(202);
  expect((await create({ from: { volume: source.volumeId } })).body.code).toBe('volume.in_action');
  expect((await create({ from: { volume: source.volumeId } }, 'other')).body.code).toBe('volume.unknown');
});

test('a VM without a port left is told so before its host is asked', async () => {
  const vm = await h.runningVm('full');
  const { volumeId } = await h.volume('surplus');
  const topology = { ...vm.topology!, rootPorts: vm.topology!.disks.length + vm.topology!.nics.length };
  await h.running.service.pool.query(`update provisioning.vms set view = jsonb_set(view, '{topology}', $2) where vm = $1`, [
    vm.id,
    JSON.stringify(topology),
  ]);
  expect((await h.http<Accepted>('POST', `/v1/volumes/${volumeId}/attach?dryRun=true`, { vm: vm.id })).body.code).toBe('volume.no_port');
});
