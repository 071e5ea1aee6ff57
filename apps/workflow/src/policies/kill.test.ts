import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { changed, establish, firedOf, policy, publishTemplate, scheduled, startsOf } from '../test/policies.ts';
import { forkService } from '../test/service-process.ts';
import { World } from '../test/world.ts';

jest.setTimeout(180_000);

let world: World;
let directory: string;
let children: ChildProcess[];
let deaths: number;
let over: boolean;
beforeEach(async () => {
  [children, deaths, over] = [[], 0, false];
  directory = mkdtempSync(join(tmpdir(), 'failpoints-'));
  world = await World.open();
  await world.startExecutors();
  const service = await world.startWorkflow();
  await publishTemplate(world);
  await establish(world, policy('drain', { limits: { maxRunning: 5 } }));
  await establish(world, scheduled('tick', '* * * * * *', { limits: { maxRunning: 100 } }));
  await world.post('/v1/workflow-policies/tick/disable', { reason: 'until the others are up' });
  await world.stop(service);
});
afterEach(async () => {
  over = true;
  for (const child of children) child.kill('SIGKILL');
  rmSync(directory, { recursive: true });
  await world.close();
});

/** One of two instances, as a process that is begun anew whenever it is killed. */
const supervise = (place: number, rules: string): void => {
  const child = forkService({ ...world.config, instance: String(place) }, rules);
  children[place] = child;
  child.once('exit', (_, signal) => {
    if (over) return;
    if (signal === 'SIGKILL') deaths++;
    supervise(place, rules);
  });
};

it.each(['policy:noted', 'policy:fired', 'policy:committed'])(
  'killed at %s, twice and more, an event starts its workflow once',
  async (point) => {
    const rules = join(directory, 'rules.json');
    writeFileSync(rules, JSON.stringify({ [point]: { action: 'exit' } }));
    supervise(0, rules);
    supervise(1, rules);
    const first = await changed(world, 'h1');
    await until(async () => deaths >= 1, 60_000);
    const ids = [first, await changed(world, 'h2')]; // by itself: two that wait together are one commit, and one death
    await until(async () => deaths >= 2, 60_000);
    writeFileSync(rules, '{}');
    await until(async () => (await startsOf(world, 'drain')).length >= 2, 60_000);
    ids.push(await changed(world, 'h1'), await changed(world, 'h2')); // what comes again of a host comes before what came after it
    const expected = ids.map((id) => `by-policy-drain-${id}`).sort();
    await until(async () => (await startsOf(world, 'drain')).length >= 4, 60_000);
    expect((await startsOf(world, 'drain')).map((s) => s.workflowId).sort()).toEqual(expected);
    expect((await firedOf(world, 'drain')).map((f) => f.workflowId).sort()).toEqual(expected);
  },
);

it('killed between slots, and the rest goes on: no slot is served twice', async () => {
  const rules = join(directory, 'rules.json');
  const service = await world.startWorkflow();
  await world.post('/v1/workflow-policies/tick/enable', { reason: 'go' });
  await world.stop(service);
  writeFileSync(rules, JSON.stringify({ 'policy:slot': { action: 'exit' }, 'policy:committed': { action: 'exit' } }));
  supervise(0, rules);
  supervise(1, rules);
  await until(async () => deaths >= 3, 60_000);
  writeFileSync(rules, '{}');
  const before = (await startsOf(world, 'tick')).length;
  await until(async () => (await startsOf(world, 'tick')).length >= before + 4, 60_000);
  const [starts, fired] = [await startsOf(world, 'tick'), await firedOf(world, 'tick')];
  expect(new Set(starts.map((s) => s.workflowId)).size).toBe(starts.length);
  const slots = fired.map((f) => f.cause.at!);
  expect(slots).toEqual([...new Set(slots)].sort());
});
