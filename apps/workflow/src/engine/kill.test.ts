import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { step, workflow } from '../test/definitions.ts';
import { ServiceProcesses } from '../test/service-process.ts';
import { World } from '../test/world.ts';

let world: World;
let processes: ServiceProcesses;
beforeEach(async () => {
  processes = new ServiceProcesses();
  world = await World.open();
  await world.startExecutors();
});
afterEach(async () => {
  processes.end();
  await world.close();
});

it('survives being killed right after each commit, before anything was sent', async () => {
  world.behaviour = (_, { dispatch }) =>
    dispatch.task === 'c' && dispatch.action === 'run'
      ? { ok: false, cause: { code: 'c.broke', message: 'no' } }
      : { ok: true, output: {} };
  processes.rules({ 'workflow:committed': { action: 'exit' } });
  processes.supervise(world.config);
  const id = await world.ask(
    workflow([step('a', 'alpha', { undo: true }), step('b', 'beta', { undo: true, after: ['a'] }), step('c', 'alpha', { after: ['b'] })]),
  );
  const pool = world.running[0]!.service.pool;
  const log = async (): Promise<{ type: string; state: string | null }[]> =>
    (
      await pool
        .query(`select type, data->>'state' as state from workflow.events where stream_id = $1 order by version`, [`workflow-${id}`])
        .catch(() => ({ rows: [] }))
    ).rows as never;
  for (const end = Date.now() + 150_000; Date.now() < end && (await log()).at(-1)?.state !== 'undone';)
    await new Promise((r) => setTimeout(r, 100));
  expect((await log()).map((e) => e.type.split('.').slice(2, 4).join('.'))).toEqual([
    'instance.started',
    'task.dispatched',
    'task.succeeded',
    'task.dispatched',
    'task.succeeded',
    'task.dispatched',
    'task.failed',
    'compensation.started',
    'task.dispatched',
    'task.compensated',
    'task.dispatched',
    'task.compensated',
    'instance.ended',
  ]);
  expect((await log()).at(-1)?.state).toBe('undone');
  expect(world.executed).toEqual(['run a 1', 'run b 1', 'run c 1', 'compensate b 1', 'compensate a 1']);
  expect(processes.deaths).toBeGreaterThanOrEqual(5);
});
