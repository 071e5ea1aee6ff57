import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { provisioningCommands } from '@chrysalis/contracts';
import { Commander } from './test/commander.ts';
import { Harness, image, spec } from './test/harness.ts';
import { serviceProcess } from './test/service-process.ts';

const dir = mkdtempSync(join(tmpdir(), 'provisioning-kill-'));
const failpoints = join(dir, 'failpoints.json');

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
});
afterAll(async () => {
  await h?.stop();
  rmSync(dir, { recursive: true });
});

test('kill -9 between the effect of a command and its answer: done once, and answered by the next process, though the token and the time are over', async () => {
  const olga = await Commander.of(h);
  const spawn = () => serviceProcess({ config: h.running.service.config, failpoints, log: 'trace' });
  const made = async () => (await h.database.pool().query('select vm as id from provisioning.vms')).rows as { id: string }[];
  await h.running.stop(); // only the process to be killed may take the command

  writeFileSync(failpoints, JSON.stringify({ 'command:answered': { action: 'exit' } }));
  const first = await spawn();
  const token = await h.token(['operator'], { expires: '20 s' });
  const data = { token, body: { name: 'web', type: 'small', image: 'linux' } };
  const over = Date.now() + 20_000;
  const id = await olga.send(provisioningCommands.createVm.type, data, { expirytime: new Date(over).toISOString() });
  expect(await first.gone).toBe('SIGKILL');
  const [vm, ...more] = await made();
  expect(more).toEqual([]);

  await sleep(Math.max(0, over + 1_000 - Date.now()));
  writeFileSync(failpoints, '{}');
  const second = await spawn();
  expect((await olga.answerTo(id)).data).toMatchObject({ status: 202, headers: { 'idempotent-replay': 'true' }, body: { vmId: vm!.id } });
  expect(await made()).toEqual([vm]);
  expect((await olga.call(provisioningCommands.createVm.type, data)).problem?.code).toBe('auth.required');
  second.child.kill('SIGTERM');
  await second.gone;
  const said = first.said() + second.said();
  expect(said).toContain('ready');
  expect(said).not.toContain(token.split('.')[2]);
}, 300_000);
