import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { changed, establish, firedOf, policy, publishTemplate, scheduled, startsOf } from '../test/policies.ts';
import { ServiceProcesses } from '../test/service-process.ts';
import { World } from '../test/world.ts';

let world: World;
let processes: ServiceProcesses;
beforeEach(async () => {
  processes = new ServiceProcesses();
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
  processes.end();
  await world.close();
});

/** Two instances, each begun anew whenever it is killed. */
const superviseBoth = (rules: object): void => {
  processes.rules(rules);
  for (const instance of ['0', '1']) processes.supervise({ ...world.config, instance });
};

it.each(['policy:noted', 'policy:fired', 'policy:committed'])(
  'killed at %s, twice and more, an event starts its workflow once',
  async (point) => {
    superviseBoth({ [point]: { action: 'exit' } });
    const first = await changed(world, 'h1');
    await until(async () => processes.deaths >= 1);
    const ids = [first, await changed(world, 'h2')]; // by itself: two that wait together are one commit, and one death
    await until(async () => processes.deaths >= 2);
    processes.rules({});
    await until(async () => (await startsOf(world, 'drain')).length >= 2);
    ids.push(await changed(world, 'h1'), await changed(world, 'h2')); // what comes again of a host comes before what came after it
    const expected = ids.map((id) => `by-policy-drain-${id}`).sort();
    await until(async () => (await startsOf(world, 'drain')).length >= 4);
    expect((await startsOf(world, 'drain')).map((s) => s.workflowId).sort()).toEqual(expected);
    expect((await firedOf(world, 'drain')).map((f) => f.workflowId).sort()).toEqual(expected);
  },
);

it('killed between slots, and the rest goes on: no slot is served twice', async () => {
  const service = await world.startWorkflow();
  await world.post('/v1/workflow-policies/tick/enable', { reason: 'go' });
  await world.stop(service);
  superviseBoth({ 'policy:slot': { action: 'exit' }, 'policy:committed': { action: 'exit' } });
  await until(async () => processes.deaths >= 3);
  processes.rules({});
  const before = (await startsOf(world, 'tick')).length;
  await until(async () => (await startsOf(world, 'tick')).length >= before + 4);
  const [starts, fired] = [await startsOf(world, 'tick'), await firedOf(world, 'tick')];
  expect(new Set(starts.map((s) => s.workflowId)).size).toBe(starts.length);
  const slots = fired.map((f) => f.cause.at!);
  expect(slots).toEqual([...new Set(slots)].sort());
});
