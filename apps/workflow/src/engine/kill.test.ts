import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, jest } from '@jest/globals';
import { step, workflow } from '../test/definitions.ts';
import { forkService } from '../test/service-process.ts';
import { World } from '../test/world.ts';

jest.setTimeout(180_000);

let world: World;
let directory: string;
let child: ChildProcess | undefined;
let deaths = 0;
let over = false;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'failpoints-'));
  world = await World.open();
  await world.startExecutors();
});
afterEach(async () => {
  over = true;
  child?.kill('SIGKILL');
  rmSync(directory, { recursive: true });
  await world.close();
});

/** The service as a process, begun anew whenever it is killed. */
const supervise = (rules: string): void => {
  child = forkService(world.config, rules);
  child.once('exit', (_, signal) => {
    if (over) return;
    if (signal === 'SIGKILL') deaths++;
    supervise(rules);
  });
};

it('survives being killed right after each commit, before anything was sent', async () => {
  world.behaviour = (_, { dispatch }) =>
    dispatch.task === 'c' && dispatch.action === 'run'
      ? { ok: false, cause: { code: 'c.broke', message: 'no' } }
      : { ok: true, output: {} };
  const rules = join(directory, 'rules.json');
  writeFileSync(rules, JSON.stringify({ 'workflow:committed': { action: 'exit' } }));
  supervise(rules);
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
  expect(deaths).toBeGreaterThanOrEqual(5);
});
