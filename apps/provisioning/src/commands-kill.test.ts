import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { provisioningCommands } from '@chrysalis/contracts';
import { Commander } from './test/commander.ts';
import { Harness, image, spec } from './test/harness.ts';

const root = resolve(import.meta.dirname, '../../..');
const dir = mkdtempSync(join(tmpdir(), 'provisioning-kill-'));
const failpoints = join(dir, 'failpoints.json');
let said = '';

/** The service as a process of its own, on the harness's database; all that it logs is kept. */
const spawnService = (h: Harness): { child: ChildProcess; ready: Promise<unknown>; gone: Promise<NodeJS.Signals | null> } => {
  const child = fork(resolve(import.meta.dirname, 'main.ts'), {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', join(root, 'tools/node/register.mjs')],
    env: {
      ...process.env,
      CHRYSALIS_CONFIG: JSON.stringify(h.running.service.config),
      CHRYSALIS_FAILPOINTS: failpoints,
      CHRYSALIS_LOG: 'trace',
      NODE_OPTIONS: '',
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (text) => (said += String(text)));
  const ready = new Promise((done, fail) => {
    child.once('message', done);
    child.once('exit', () => fail(new Error(`it ended before it was ready: ${said}`)));
  });
  const gone = new Promise<NodeJS.Signals | null>((done) => child.once('exit', (_, signal) => done(signal)));
  return { child, ready, gone };
};

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
  const made = async () => (await h.database.pool().query('select vm as id from provisioning.vms')).rows as { id: string }[];
  await h.running.stop(); // only the process to be killed may take the command

  writeFileSync(failpoints, JSON.stringify({ 'command:answered': { action: 'exit' } }));
  const first = spawnService(h);
  await first.ready;
  const token = await h.token(['operator'], { expires: '20 s' });
  const data = { token, body: { name: 'web', type: 'small', image: 'linux' } };
  const over = Date.now() + 20_000;
  const id = await olga.send(provisioningCommands.createVm.type, data, { expirytime: new Date(over).toISOString() });
  expect(await first.gone).toBe('SIGKILL');
  const [vm, ...more] = await made();
  expect(more).toEqual([]);

  await sleep(Math.max(0, over + 1_000 - Date.now()));
  writeFileSync(failpoints, '{}');
  const second = spawnService(h);
  await second.ready;
  expect((await olga.answerTo(id)).data).toMatchObject({ status: 202, headers: { 'idempotent-replay': 'true' }, body: { vmId: vm!.id } });
  expect(await made()).toEqual([vm]);
  expect((await olga.call(provisioningCommands.createVm.type, data)).problem?.code).toBe('auth.required');
  second.child.kill('SIGTERM');
  await second.gone;
  expect(said).toContain('ready');
  expect(said).not.toContain(token.split('.')[2]);
}, 300_000);
