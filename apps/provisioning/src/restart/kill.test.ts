import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Harness, image, spec } from '../test/harness.ts';
import { serviceProcess, type ServiceProcess } from '../test/service-process.ts';

const directory = mkdtempSync(join(tmpdir(), 'restart-kill-'));
const failpoints = join(directory, 'failpoints.json');
const killedWhere = (point: string): void =>
  writeFileSync(
    failpoints,
    JSON.stringify({ [point]: { action: 'exit', where: { says: 'chrysalis.provisioning.vm.action-requested.v1' } } }),
  );

let h: Harness;
let replicas: ServiceProcess[] = [];
const replica = (place: number): Promise<ServiceProcess> =>
  serviceProcess({ config: { ...h.running.service.config, instance: String(place) }, failpoints, main: 'test/replica.ts' });
const two = async (): Promise<ServiceProcess[]> => (replicas = await Promise.all([replica(1), replica(2)]));

beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(async () => {
  for (const r of replicas) r.child.kill('SIGKILL');
  await Promise.all(replicas.map((r) => r.gone));
  await h?.stop();
  rmSync(directory, { recursive: true });
});

test('kill -9 of both replicas before a start is committed, and of the one that has: the VM is started once each time that it goes off', async () => {
  const [{ id, version }, other] = [await h.runningVm('web'), await h.runningVm('other')];
  for (const vm of [id, other.id]) await h.http('PATCH', `/v1/vms/${vm}`, { restart: 'on-failure' });
  await h.running.stop(); // only the processes that are killed may look
  const said = async (vm = id): Promise<string[]> =>
    (await h.store.read(vm)).slice(version + 1).map((e) => e.type.replace(/^chrysalis\.provisioning\.vm\.|\.v1$/g, ''));
  const says = (what: string[], vm = id) => h.eventually(async () => JSON.stringify(await said(vm)) === JSON.stringify(what));
  const once = ['restart-planned', 'action-requested'];

  killedWhere('restart:decided');
  let [first, second] = await two();
  await h.sees(id, 1, { state: 'gone', since: '2026-01-01T00:05:00.000Z' });
  expect(await Promise.all([first!.gone, second!.gone])).toEqual(['SIGKILL', 'SIGKILL']);
  expect(await said()).toEqual(['restart-planned']);

  killedWhere('restart:committed');
  [first, second] = await two();
  expect(await Promise.race([first!.gone, second!.gone])).toBe('SIGKILL');
  expect(await said()).toEqual(once);

  writeFileSync(failpoints, '{}');
  const operation = (await h.store.read(id)).at(-1)!.data as { request: { workflowId: string } };
  await h.run(operation.request.workflowId, 'vm.record-action', { vmId: id, at: '2026-01-01T00:06:00.000Z' });
  await h.sees(id, 2, { state: 'gone', since: '2026-01-01T00:07:00.000Z' });
  await says([...once, 'action-ended', ...once]);
  // Whoever starts another one has looked at this one since, twice: at the plan, and at the start.
  await h.sees(other.id, 1, { state: 'gone', since: '2026-01-01T00:05:00.000Z' });
  await says(once, other.id);
  expect(await said()).toEqual([...once, 'action-ended', ...once]);
});
