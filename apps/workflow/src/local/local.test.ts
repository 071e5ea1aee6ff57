import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { TaskDefinition } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import type { LocalKinds } from './local.ts';
import { step, workflow } from '../test/definitions.ts';
import { ServiceProcesses } from '../test/service-process.ts';
import { ended, World } from '../test/world.ts';

const here = { mode: 'group', group: 'workflow' } as const;
const local = (name: string, kind: string, more: Partial<TaskDefinition> = {}): TaskDefinition => ({
  ...step(name, 'alpha', more),
  kind,
  route: here,
});

describe('tasks of the group workflow', () => {
  let world: World;
  const ran: string[] = [];
  let aborted: string[] = [];
  let slow = 0;
  let held = Promise.resolve();
  const kinds: LocalKinds = {
    'test.add': (input, { dispatch }) => {
      ran.push(`${dispatch.action} ${dispatch.task} ${dispatch.attempt}`);
      return { ok: true, output: { n: Number(input['n']) + 1 } };
    },
    'test.break': () => {
      throw Object.assign(new Error('no'), { code: 'test.broken' });
    },
    'test.slow': async (_, { dispatch, signal }) => {
      ran.push(`${dispatch.action} ${dispatch.task} ${dispatch.attempt}`);
      signal.addEventListener('abort', () => aborted.push((signal.reason as Error).message));
      await sleep(slow, undefined, { signal });
      return { ok: true, output: {} };
    },
    'test.held': async (_, { dispatch }) => {
      ran.push(`${dispatch.action} ${dispatch.task} ${dispatch.attempt}`);
      await held;
      return { ok: true, output: {} };
    },
  };
  beforeAll(async () => {
    world = await World.started(kinds);
  });
  afterAll(() => world.close());
  beforeEach(() => {
    ran.length = 0;
    aborted = [];
    world.behaviour = (input) => ({ ok: true, output: { n: Number(input['n'] ?? 0) + 1 } });
  });

  it('are executed in the service itself, among those of others, and never reach the bus', async () => {
    const id = await world.ask(
      workflow(
        [
          local('a', 'test.add', { input: { n: '${params.n}' } }),
          step('b', 'beta', { input: { n: '${tasks.a.output.n}' } }),
          local('c', 'test.add', { input: { n: '${tasks.b.output.n}' } }),
          local('d', 'workflow.pass', { input: { both: ['${tasks.a.output.n}', '${tasks.c.output.n}'] } }),
        ],
        { params: { n: { type: 'number' } }, output: { got: '${tasks.d.output.both}' } },
      ),
      { n: 1 },
    );
    expect(await world.until(id, ended)).toMatchObject({ state: 'succeeded', output: { got: [2, 4] } });
    expect(ran).toEqual(['run a 1', 'run c 1']);
    const { rows } = await world.workflow.service.pool.query(
      `select sum(next_offset)::int as n from bus.partitions where topic = 'chrysalis.tasks.workflow'`,
    );
    expect(rows).toEqual([{ n: 0 }]);
  });

  it('fail for good where nothing executes their kind, and what was done is undone', async () => {
    const undo = { kind: 'test.add', input: { n: 0 }, deadlineMs: 10_000, route: here };
    const id = await world.ask(
      workflow([local('a', 'test.add', { compensation: undo, input: { n: 0 } }), local('b', 'test.unheard', { after: ['a'] })]),
    );
    expect(await world.until(id, ended)).toMatchObject({ state: 'undone', cause: { code: 'executor.kind_unknown' } });
    expect(ran).toEqual(['run a 1', 'compensate a 1']);
  });

  it('are tried again by their policy when they throw, with the cause that was thrown', async () => {
    const id = await world.ask(workflow([local('a', 'test.break', { retry: { attempts: 3, backoffMs: 10 } })]));
    const view = await world.until(id, ended);
    expect(view).toMatchObject({ state: 'undone', cause: { code: 'test.broken' } });
    expect(view.tasks[0]!.attempts).toHaveLength(3);
  });

  it('are aborted at their deadline', async () => {
    slow = 60_000;
    const id = await world.ask(workflow([local('a', 'test.slow', { deadlineMs: 700 })]));
    expect(await world.until(id, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.deadline_passed' } });
    for (const end = Date.now() + 5_000; aborted.length === 0 && Date.now() < end;) await sleep(20);
    expect(aborted).toEqual(['the deadline has passed']);
  });

  it('are heard of as long as they run', async () => {
    slow = 2_500;
    const id = await world.ask(workflow([local('a', 'test.slow', { heartbeatMs: 600 })]));
    expect(await world.until(id, ended)).toMatchObject({ state: 'succeeded' });
    expect(ran).toEqual(['run a 1']);
  });

  it('run once while their executor lives, however many instances look at the timers, with the next look always near', async () => {
    const other = await world.startWorkflow(kinds);
    const { promise, resolve: letGo } = Promise.withResolvers<void>();
    held = promise;
    const id = await world.ask(workflow([local('a', 'test.held'), local('b', 'test.add', { after: ['a'], input: { n: 0 } })]));
    await world.until(id, (v) => v.state === 'running');
    expect(Math.max(...(await world.outlivesLook(id)))).toBeLessThanOrEqual(2_500);
    letGo();
    expect((await world.until(id, ended)).state).toBe('succeeded');
    expect(ran).toEqual(['run a 1', 'run b 1']);
    await world.stop(other);
  });

  it('are handed over by an instance that stops', async () => {
    slow = 60_000;
    const id = await world.ask(workflow([local('a', 'test.slow')]));
    for (const end = Date.now() + 10_000; ran.length === 0 && Date.now() < end;) await sleep(20);
    const first = world.workflow;
    slow = 10;
    await Promise.all([world.startWorkflow(kinds), sleep(50).then(() => world.stop(first))]);
    expect((await world.until(id, ended)).state).toBe('succeeded');
    expect(ran).toEqual(['run a 1', 'run a 1']);
    expect(aborted).toEqual(['the service stops']);
  });
});

describe('tasks of the group workflow, when their instance is killed', () => {
  let world: World;
  let processes: ServiceProcesses;
  beforeAll(async () => {
    processes = new ServiceProcesses();
    world = await World.open();
    await world.startExecutors();
  });
  afterAll(async () => {
    processes.end();
    await world.close();
  });

  it('go on in another: the same attempt with the same token', async () => {
    const first = processes.spawn(world.config, { 'workflow:local': { action: 'hang' } });
    const id = await world.ask(
      workflow([local('a', 'workflow.pass', { input: { n: 1 } }), local('b', 'workflow.pass', { input: { n: '${tasks.a.output.n}' } })], {
        output: { n: '${tasks.b.output.n}' },
      }),
    );
    const pool = world.running[0]!.service.pool;
    const log = async () =>
      (
        await pool
          .query<{ type: string; token: number | null }>(
            `select split_part(type, '.', 3) || '.' || split_part(type, '.', 4) as type, (data->>'token')::float8 as token
             from workflow.events where stream_id = $1 order by version`,
            [`workflow-${id}`],
          )
          .catch(() => ({ rows: [] }))
      ).rows;
    await until(async () => (await log()).length >= 2);
    await once(processes.spawn(world.config, {}), 'message'); // stands by
    await world.outlivesLook(id);
    expect(await log()).toHaveLength(2); // the first says that it is at work
    first.kill('SIGKILL');
    await until(async () => (await log()).at(-1)?.type === 'instance.ended');
    const events = await log();
    expect(events.map((e) => e.type)).toEqual([
      'instance.started',
      'task.dispatched',
      'task.succeeded',
      'task.dispatched',
      'task.succeeded',
      'instance.ended',
    ]);
  });
});
