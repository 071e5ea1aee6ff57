import { fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { amountsOf, provisioningEvents, resourceAllocationEvents, type RunResult, type WorkflowRequest } from '@chrysalis/contracts';
import { facts, smallType, vm } from '@chrysalis/migration-templates-core/testing';
import { openWorld, type World } from '../test/world.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const LONG = 90_000;

let world: World;
let directory: string;
let rules: string;
let children: ChildProcess[];
let deaths: number;
let over: boolean;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'drain-kill-'));
  rules = join(directory, 'rules.json');
  [children, deaths, over] = [[], 0, false];
  fail({});
  world = await openWorld({ apart: true });
});
afterEach(async () => {
  over = true;
  for (const child of children) child.kill('SIGKILL');
  await world.close();
  rmSync(directory, { recursive: true });
});

const fail = (given: object): void => writeFileSync(rules, JSON.stringify(given));
/** One replica as a process, begun anew whenever it is killed; resolves when it is up. */
const replica = (place: number): Promise<void> => {
  const child = fork(path('../main.ts'), {
    execPath: path('../../../../node_modules/node/bin/node'),
    execArgv: ['--import', path('../../../../tools/node/register.mjs')],
    env: { ...process.env, CHRYSALIS_CONFIG: JSON.stringify({ ...world.config, instance: String(place) }), CHRYSALIS_FAILPOINTS: rules },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  children[place] = child;
  child.once('exit', () => {
    if (over) return;
    deaths++;
    void replica(place);
  });
  return new Promise((done) => child.once('message', () => done()));
};
const killed = async (how: () => void): Promise<void> => {
  const before = deaths;
  how();
  await world.until(async () => deaths > before, LONG);
};

const vms = ['vm-1', 'vm-2', 'vm-3'].map((vmId) => vm({ vmId, hostId: 'h1' }));
const amounts = amountsOf(smallType.spec);
const { allocationHeld, allocationReleased, hostStateChanged } = resourceAllocationEvents;
const consumer = (id: string) => ({ kind: 'vm' as const, id });
/** A migration is of the VMs that are known when it begins: who is heard of later goes in the next, when that one has ended. */
const heardOf = (count: number): Promise<unknown> => {
  const booted = `select from migration_templates.known_vms where vm ? 'topology'`;
  return world.until(async () => (await world.service.service.pool.query(booted)).rowCount === count, LONG);
};
/** VMs on h1, which is to be emptied, and room on h2. */
const retiring = async (concurrency: number): Promise<void> => {
  await world.type(smallType);
  for (const name of ['h1', 'h2']) await world.host(facts(name));
  for (const x of vms) {
    await world.vm(x);
    await world.tell('resource-allocation', 'host-h1', allocationHeld, { hostId: 'h1', consumer: consumer(x.vmId), vmId: x.vmId, amounts });
  }
  const change = { hostId: 'h1', from: 'enabled', to: 'retiring', reason: 'ten years old' } as const;
  const since = await world.tell('resource-allocation', 'host-h1', hostStateChanged, change);
  await heardOf(vms.length);
  await world.give('op-1', 'move', 'migration.run', { hostId: 'h1', concurrency, since }, { tenant: '*' });
};

type Started = { moveId: string; vmId: string; request: WorkflowRequest };
const moves = async (): Promise<Started[]> =>
  (
    await world.service.service.pool.query<{ data: Started }>(
      `select data from migration_templates.events where type like '%.move.started.v1' order by global_position`,
    )
  ).rows.map((r) => r.data);
const nth = (n: number): Promise<Started> => world.until(async () => (await moves())[n], LONG);
/** Its workflow ends, and provisioning and the ledger have told that the VM is on h2. */
const goes = async ({ moveId, vmId, request }: Started): Promise<void> => {
  const { epoch, topology, topologyHash } = vms.find((x) => x.vmId === vmId)!;
  const switched = { vmId, moveId, fromHost: 'h1', toHost: 'h2', epoch: epoch + 1, topology, topologyHash };
  await world.tell('provisioning', vmId, provisioningEvents.vmSwitchedOver, switched);
  const held = { consumer: consumer(vmId), vmId, amounts };
  await world.tell('resource-allocation', 'host-h1', allocationReleased, { hostId: 'h1', ...held, reason: 'test' });
  await world.tell('resource-allocation', 'host-h2', allocationHeld, { hostId: 'h2', ...held });
  await world.ran(request, { state: 'succeeded' });
};
/** What the drain has told, once: each VM went, each by one move. */
const everyoneWentOnce = async (): Promise<void> => {
  type Report = { outcome: { ok: boolean; output: { results: RunResult[] } } };
  await world.until(async () => (await world.stream('task-op-1')).length > 0, LONG);
  const told = (await world.stream('task-op-1')).map((e) => (e.data as Report).outcome);
  expect(told).toMatchObject([{ ok: true, output: { total: 3, succeeded: 3, left: [] } }]);
  expect(told[0]!.output.results.map((r) => `${r.vmId} ${r.state}`).sort()).toEqual(vms.map((x) => `${x.vmId} succeeded`));
  expect((await moves()).map((m) => m.vmId).sort()).toEqual(vms.map((x) => x.vmId));
  const ended = `select from migration_templates.events where type like '%.move.ended.v1'`;
  expect((await world.service.service.pool.query(ended)).rowCount).toBe(3);
};

test('kill -9 at its start, in the midst of a move and when a move’s end is told: the drain goes on, and does nothing twice', async () => {
  await replica(0);
  fail({ 'migration-run:written': { action: 'exit' } });
  await killed(() => void retiring(1));
  fail({});
  const first = await nth(0);
  await killed(() => children[0]!.kill('SIGKILL'));
  fail({ 'consumer:moves:before': { action: 'exit' } });
  await killed(() => void goes(first));
  fail({});
  await goes(await nth(1));
  await killed(() => children[0]!.kill('SIGKILL'));
  await goes(await nth(2));
  await everyoneWentOnce();
  expect(deaths).toBeGreaterThanOrEqual(4);
});

test('two replicas with one drain do nothing twice, and one goes on where the other is killed', async () => {
  await Promise.all([replica(0), replica(1)]);
  await retiring(2);
  const [first, second] = [await nth(0), await nth(1)];
  await Promise.all([goes(first), goes(second)]);
  const third = await nth(2);
  over = true; // this one is not begun anew
  children[0]!.kill('SIGKILL');
  await goes(third);
  await everyoneWentOnce();
});
