import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Harness, image, spec, withVolume } from '../test/harness.ts';
import { serviceProcess, type ServiceProcess } from '../test/service-process.ts';

const directory = mkdtempSync(join(tmpdir(), 'volumes-kill-'));
const failpoints = join(directory, 'failpoints.json');
const killedAt = (point: string, where: Record<string, string>): void =>
  writeFileSync(failpoints, JSON.stringify({ [point]: { action: 'exit', where } }));

let h: Harness;
let process: ServiceProcess | undefined;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
}, 60_000);
afterAll(async () => {
  process?.child.kill('SIGKILL');
  await process?.gone;
  await h?.stop();
  rmSync(directory, { recursive: true });
});

test('kill -9 between what the volume and what its VM is told: of neither anything is said, and then of both, once', async () => {
  const vm = await h.runningVm('web');
  const { volumeId } = await h.volume();
  const { operation } = (await h.http<{ operation: string }>('POST', `/v1/volumes/${volumeId}/attach`, { vm: vm.id })).body;
  await h.running.stop(); // only the process that is killed may take the task
  const said = async (): Promise<string[]> =>
    [...(await h.store.read(volumeId)).slice(2), ...(await h.store.read(vm.id)).slice(vm.version)].map((e) =>
      e.type.replace(/^chrysalis\.provisioning\.|\.v1$/g, ''),
    );
  const before = ['volume.attach-requested', 'vm.change-begun'];
  expect(await said()).toEqual(before);
  const spawn = () => serviceProcess({ config: h.running.service.config, failpoints });
  killedAt('vm:appended', { vm: vm.id, command: 'end-change' });
  process = await spawn();
  const recorded = h.run(operation, 'volume.record-attached', { volumeId, vmId: vm.id, ...withVolume(vm, volumeId), seen: true });
  expect(await process.gone).toBe('SIGKILL');
  expect(await said()).toEqual(before);
  writeFileSync(failpoints, '{}');
  process = await spawn();
  expect(await recorded).toMatchObject({ ok: true });
  expect(await said()).toEqual(['volume.attach-requested', 'volume.attached', 'vm.change-begun', 'vm.change-ended']);
}, 120_000);
