import { fork } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Harness, image, spec } from '../test/harness.ts';

const root = resolve(import.meta.dirname, '../../../..');
const directory = mkdtempSync(join(tmpdir(), 'restart-kill-'));
const failpoints = join(directory, 'failpoints.json');
const killedWhere = (point: string): void =>
  writeFileSync(
    failpoints,
    JSON.stringify({ [point]: { action: 'exit', where: { says: 'chrysalis.provisioning.vm.action-requested.v1' } } }),
  );

type Replica = { gone: Promise<NodeJS.Signals | null>; end: (signal: NodeJS.Signals) => void };
let h: Harness;
let replicas: Replica[] = [];
/** The service as a process of its own, on the harness's database; resolves when it is up. */
const replica = async (place: number): Promise<Replica> => {
  const child = fork(resolve(import.meta.dirname, '../test/replica.ts'), {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', join(root, 'tools/node/register.mjs')],
    env: {
      ...process.env,
      CHRYSALIS_CONFIG: JSON.stringify({ ...h.running.service.config, instance: String(place) }),
      CHRYSALIS_FAILPOINTS: failpoints,
      NODE_OPTIONS: '',
    },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const gone = new Promise<NodeJS.Signals | null>((done) => child.once('exit', (_, signal) => done(signal)));
  const up = new Promise((done) => child.once('message', done));
  await Promise.race([up, gone.then(() => Promise.reject(new Error('it ended before it was ready')))]);
  return { gone, end: (signal) => child.kill(signal) };
};
const two = async (): Promise<Replica[]> => (replicas = await Promise.all([replica(1), replica(2)]));

beforeAll(async () => {
  h = await Harness.start();
  await h.http('POST', '/v1/vm-types', { name: 'small', spec });
  await h.http('POST', '/v1/images', { image });
}, 60_000);
afterAll(async () => {
  for (const r of replicas) r.end('SIGKILL');
  await Promise.all(replicas.map((r) => r.gone));
  await h?.stop();
  rmSync(directory, { recursive: true });
});

test('kill -9 of both replicas before a start is committed, and of the one that has: the VM is started once each time that it goes off', async () => {
  const { id, version } = await h.runningVm();
  await h.http('PATCH', `/v1/vms/${id}`, { restart: 'on-failure' });
  await h.running.stop(); // only the processes that are killed may look
  const said = async (): Promise<string[]> =>
    (await h.store.read(id)).slice(version + 1).map((e) => e.type.replace(/^chrysalis\.provisioning\.vm\.|\.v1$/g, ''));
  const says = (what: string[]) => h.eventually(async () => JSON.stringify(await said()) === JSON.stringify(what));
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
  await sleep(1_200); // two looks more
  expect(await said()).toEqual([...once, 'action-ended', ...once]);
}, 180_000);
