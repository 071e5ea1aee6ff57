import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Harness, hostFacts } from './test/harness.ts';
import { allocationsAreConserved } from './test/invariant.ts';

const root = resolve(import.meta.dirname, '../../..');
const dir = mkdtempSync(join(tmpdir(), 'allocation-kill-'));
const failpoints = join(dir, 'failpoints.json');
const amounts = { vcpu: 1, memoryMiB: 512, diskMiB: 100 };

/** The service as a process of its own, on the harness's database. */
const spawnService = (h: Harness): { child: ChildProcess; ready: Promise<unknown>; gone: Promise<NodeJS.Signals | null> } => {
  const child = fork(resolve(import.meta.dirname, 'main.ts'), {
    execArgv: ['--disable-warning=ExperimentalWarning', '--import', join(root, 'tools/node/register.mjs')],
    env: { ...process.env, CHRYSALIS_CONFIG: JSON.stringify(h.running.service.config), CHRYSALIS_FAILPOINTS: failpoints, NODE_OPTIONS: '' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ready = new Promise((done, fail) => {
    child.once('message', done);
    child.once('exit', () => fail(new Error('it ended before it was ready')));
  });
  const gone = new Promise<NodeJS.Signals | null>((done) => child.once('exit', (_, signal) => done(signal)));
  return { child, ready, gone };
};

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
  for (const f of [hostFacts('a'), hostFacts('b')]) await h.enrolled(f);
  await h.registered(2);
});
afterAll(async () => {
  await h?.stop();
  rmSync(dir, { recursive: true });
});

test('kill -9 between the two hosts of a swap: nothing of it is there; the next process does all of it, once', async () => {
  const place = (consumer: object, host: string) => ({
    kind: 'allocation.place',
    input: { consumer, vmId: 'v', amounts, cpuModel: 'Westmere', traits: [], networks: [], pools: [], host },
  });
  await h.run('op-1', place({ kind: 'vm', id: 'v' }, 'a'));
  await h.run('mov-1', place({ kind: 'move', id: 'mov-1' }, 'b'));
  const pool = h.database.pool();
  const ledger = async () => (await pool.query('select consumer, host from resource_allocation.ledger order by consumer')).rows;
  const conserved = () => allocationsAreConserved({ pool, schema: 'resource_allocation' });
  const before = await ledger();
  await h.running.stop(); // only the process to be killed may take the task

  writeFileSync(failpoints, JSON.stringify({ 'allocation.swap:between': { action: 'exit' } }));
  const first = spawnService(h);
  await first.ready;
  await h.dispatch('mov-1', { kind: 'allocation.swap', input: { moveId: 'mov-1', vmId: 'v', fromHost: 'a', toHost: 'b', amounts } });
  expect(await first.gone).toBe('SIGKILL');
  expect(await ledger()).toEqual(before);
  await conserved();

  writeFileSync(failpoints, '{}');
  const second = spawnService(h);
  await second.ready;
  await h.eventually(async () => (await ledger()).length === 1);
  expect(await ledger()).toEqual([{ consumer: 'vm:v', host: 'b' }]);
  await conserved();
  second.child.kill('SIGTERM');
  await second.gone;
});
