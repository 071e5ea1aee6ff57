import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { WorkflowRequest } from '@chrysalis/contracts';
import { validateRequest } from '@chrysalis/workflow-core';
import { Harness } from '../test/harness.ts';

type Accepted = { readonly volumeId: string; readonly operation: string; readonly code: string; readonly dryRun?: boolean };
let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
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
  expect(request.request.definition.tasks.map((t) => t.name)).toEqual(['record']); // nothing of it is on any host
  await h.ended({ workflowId: deleting, subject: volumeId, name: 'delete-volume', state: 'failed', cause });
  await h.eventually(async () => (await h.volumeNow(volumeId)).status === 'failed');
});

test('bad input, another tenant, a dry run: a stable code, and nothing is left', async () => {
  const all = async () => Number((await h.running.service.pool.query('select count(*) from provisioning.events')).rows[0].count);
  const { volumeId } = await h.volume('mine');
  const before = await all();
  for (const bad of [{ name: 'x' }, { name: 'X', sizeMiB: 1 }, { name: 'x', sizeMiB: 0 }, { name: 'x', sizeMiB: 1_048_577 }, { name: 'x'.repeat(10_000), sizeMiB: 1 }, { name: 'x', sizeMiB: 1, colour: 'red' }])
    expect((await create(bad)).body.code).toBe('request.invalid'); // prettier-ignore
  expect((await remove(volumeId, 'other')).body.code).toBe('volume.unknown');
  expect((await remove('volume-0199c0de-0000-7000-8000-00000000dead')).body.code).toBe('volume.unknown');
  expect(await h.http('POST', '/v1/volumes?dryRun=true', { name: 'x', sizeMiB: 1 })).toMatchObject({ status: 200, body: { dryRun: true } });
  expect(await h.http('DELETE', `/v1/volumes/${volumeId}?dryRun=true`)).toMatchObject({ status: 200, body: { dryRun: true } });
  expect(await all()).toBe(before);
});
