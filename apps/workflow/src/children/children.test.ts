import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { literal, type TaskDefinition, type WorkflowDefinition } from '@chrysalis/contracts';
import { failed } from '@chrysalis/service-kit';
import { until as come } from '@chrysalis/testing';
import { step, workflow } from '../test/definitions.ts';
import { ServiceProcesses } from '../test/service-process.ts';
import { ended, World } from '../test/world.ts';
import { childIdOf } from './ids.ts';

const here = { mode: 'group', group: 'workflow' } as const;
const sub = (name: string, input: Record<string, unknown>, more: Partial<TaskDefinition> = {}): TaskDefinition => ({
  name,
  kind: 'workflow.run',
  summary: name,
  input,
  deadlineMs: 60_000,
  route: here,
  ...more,
});
const undo = { kind: 'workflow.undo', input: { workflowId: '${tasks.sub.output.workflowId}' }, deadlineMs: 30_000, route: here };
/** Its references are its own, not those of the task that it is the input of. */
const quoted = (definition: WorkflowDefinition): WorkflowDefinition => JSON.parse(literal(JSON.stringify(definition)));
const inner = (tasks = [step('inner', 'alpha', { undo: true, input: { n: '${params.n}' } })]) =>
  quoted(
    workflow(tasks, { name: 'inner', params: { n: { type: 'number' } }, output: { got: `\${tasks.${tasks.at(-1)!.name}.output.n}` } }),
  );

describe('the id of a sub-workflow', () => {
  it('is the same for the same execution, another for another, and never longer than an id may be', () => {
    const of = (workflowId: string, task: string, action: 'run' | 'compensate' = 'run', attempt = 1) =>
      childIdOf({ workflowId, task, action, attempt });
    expect(of('op-1', 'copy.17')).toBe('op-1.copy.17.1');
    expect(of('op-1', 'copy', 'compensate')).toBe('op-1.copy.u1');
    const long = [of('x'.repeat(127), 'a'), of('x'.repeat(127), 'b'), of('x'.repeat(126), 'a'), of('x'.repeat(127), 'a', 'run', 2)];
    expect(new Set(long).size).toBe(4);
    expect(long.map((id) => id.length)).toEqual([127, 127, 127, 127]);
  });
});

describe('sub-workflows', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.started();
  });
  afterAll(() => world.close());
  beforeEach(() => {
    world.behaviour = (input) => ({ ok: true, output: { n: Number(input['n'] ?? 0) + 1 } });
    world.executed.length = 0;
  });

  it('are a task of their parent: params in, output back', async () => {
    const id = await world.ask(
      workflow(
        [sub('sub', { definition: inner(), params: { n: 4 } }), step('after', 'beta', { input: { n: '${tasks.sub.output.output.got}' } })],
        {
          output: { n: '${tasks.after.output.n}', child: '${tasks.sub.output.workflowId}' },
        },
      ),
    );
    expect(await world.until(id, ended)).toMatchObject({ state: 'succeeded', output: { n: 6, child: `${id}.sub.1` } });
    expect(await world.until(`${id}.sub.1`, ended)).toMatchObject({
      state: 'succeeded',
      parent: { workflowId: id, task: 'sub', attempt: 1 },
    });
    expect(world.executed).toEqual(['run inner 1', 'run after 1']);
  });

  it('fail their task with their first cause, and run anew for its next attempt where that may be tried again', async () => {
    let times = 0;
    world.behaviour = () => (++times < 2 ? failed({ code: 'x.busy', message: 'busy', retriable: true }) : { ok: true, output: { n: 1 } });
    const retry = { attempts: 3, backoffMs: 20 };
    const id = await world.ask(workflow([sub('sub', { definition: inner(), params: { n: 1 } }, { retry })]));
    const view = await world.until(id, ended);
    expect(view).toMatchObject({ state: 'succeeded' });
    expect(view.tasks[0]!.attempts).toMatchObject([{ settled: { cause: { code: 'x.busy' } } }, { settled: { ok: true } }]);
    expect(await world.until(`${id}.sub.1`, ended)).toMatchObject({ state: 'undone' });

    world.behaviour = () => failed({ code: 'x.busy', message: 'busy', retriable: true });
    const stopped = inner([step('point', 'alpha', { pointOfNoReturn: true })]);
    const faulty = await world.ask(
      workflow([sub('sub', { definition: { ...stopped, tasks: [{ ...stopped.tasks[0], after: ['ghost'] }] } }, { retry })]),
    );
    expect(await world.until(faulty, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.request_invalid' } });
    const unknown = await world.ask(workflow([sub('sub', { template: 'no-such@1' }, { retry })]));
    expect(await world.until(unknown, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.template_unknown' } });
  });

  it('one that stopped past its point of no return is not tried again', async () => {
    world.behaviour = (_, { dispatch }) =>
      dispatch.task === 'after' ? failed({ code: 'x.broke', message: 'no', retriable: true }) : { ok: true, output: { n: 1 } };
    const definition = inner([step('point', 'alpha', { pointOfNoReturn: true }), step('after', 'beta', { after: ['point'] })]);
    const id = await world.ask(workflow([sub('sub', { definition, params: { n: 1 } }, { retry: { attempts: 3, backoffMs: 10 } })]));
    const view = await world.until(id, ended);
    expect(view.tasks[0]!.attempts).toHaveLength(1);
    expect(view).toMatchObject({ state: 'undone', cause: { code: 'x.broke', detail: { state: 'stopped', missing: ['after'] } } });
  });

  it('are cancelled with their parent, and undone as its compensation', async () => {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'slow') await opened;
      return { ok: true, output: { n: 1 } };
    };
    const id = await world.ask(
      workflow([
        sub('sub', { definition: inner(), params: { n: 1 } }, { compensation: undo }),
        sub(
          'second',
          {
            definition: inner([step('first', 'alpha', { undo: true }), step('slow', 'beta', { undo: true, after: ['first'] })]),
            params: { n: 1 },
          },
          { after: ['sub'] },
        ),
      ]),
    );
    await world.until(`${id}.second.1`, (v) => v.tasks[1]?.state === 'dispatched');
    await world.post(`/v1/workflows/${id}/cancel`, { reason: 'enough' });
    const child = await world.until(`${id}.second.1`, (v) => (v as unknown as { cancelRequested?: string }).cancelRequested !== undefined);
    expect(child.state).not.toBe('succeeded');
    open();
    expect(await world.until(id, ended)).toMatchObject({ state: 'cancelled' });
    expect(await world.until(`${id}.second.1`, ended)).toMatchObject({ state: 'cancelled' });
    expect(await world.until(`${id}.sub.1`, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.undo_asked' } });
    expect(world.executed.filter((e) => e.startsWith('comp')).sort()).toEqual([
      'compensate first 1',
      'compensate inner 1',
      'compensate slow 1',
    ]);
  });

  it('are let go of as they are by a parent that is', async () => {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    world.behaviour = async () => {
      await opened;
      return { ok: true, output: { n: 1 } };
    };
    const id = await world.ask(workflow([sub('sub', { definition: inner(), params: { n: 1 } })]));
    await world.until(`${id}.sub.1`, (v) => v.tasks[0]?.state === 'dispatched').catch(() => undefined);
    await world.post(`/v1/workflows/${id}/cancel`, { reason: 'enough', compensate: false });
    expect(await world.until(`${id}.sub.1`, ended)).toMatchObject({ state: 'cancelled', missing: ['inner'] });
    open();
  });

  it('of another tenant are not undone, and none is within more than eight', async () => {
    const other = await world.ask(workflow([step('a', 'alpha', { undo: true })]), {}, undefined, 'other');
    const admin = await world.tokenFor('fleet', 'acme');
    const stateOf = async () => (await world.get<{ state?: string }>(`/v1/workflows/${other}`, world.workflow, admin)).body.state;
    await come(async () => (await stateOf()) === 'succeeded');
    const undoing = sub('sub', { workflowId: other }, { kind: 'workflow.undo' });
    expect(await world.until(await world.ask(workflow([undoing])), ended)).toMatchObject({
      state: 'undone',
      cause: { code: 'workflow.unknown' },
    });
    expect(await stateOf()).toBe('succeeded');

    let nested = workflow([step('core', 'alpha')]);
    for (let i = 0; i < 9; i++) nested = workflow([sub('sub', { definition: JSON.parse(JSON.stringify(nested)) })]);
    const deep = await world.ask(nested);
    expect(await world.until(deep, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.nested_too_deep' } });
    expect(world.executed).not.toContain('run core 1');
  });

  it('waits without anybody, and no longer than its workflow goes on', async () => {
    const wait = (ms: number) => sub('wait', { ms }, { kind: 'workflow.wait' });
    const begun = Date.now();
    const id = await world.ask(workflow([wait(400), step('a', 'alpha', { after: ['wait'] })]));
    expect((await world.until(id, ended)).state).toBe('succeeded');
    expect(Date.now() - begun).toBeGreaterThanOrEqual(400);
    const long = await world.ask(workflow([wait(50_000)]));
    await world.until(long, (v) => v.tasks[0]?.state === 'dispatched');
    await world.post(`/v1/workflows/${long}/cancel`, { reason: 'enough' });
    expect((await world.until(long, ended)).state).toBe('cancelled');
  });
});

describe('sub-workflows, when an instance is killed', () => {
  let world: World;
  let processes: ServiceProcesses;
  beforeAll(async () => {
    processes = new ServiceProcesses();
    world = await World.open();
    await world.startExecutors();
    world.behaviour = () => ({ ok: true, output: { n: 1 } });
  });
  afterAll(async () => {
    processes.end();
    await world.close();
  });
  const spawn = (rules: object): ChildProcess => processes.spawn(world.config, rules);

  const log = async (id: string) =>
    (
      await world.running[0]!.service.pool.query<{ type: string; at: Date }>(
        `select split_part(type, '.', 3) || '.' || split_part(type, '.', 4) as type, at from workflow.events where stream_id = $1 order by version`,
        [`workflow-${id}`],
      ).catch(() => ({ rows: [] }))
    ).rows;
  const until = (what: () => Promise<boolean>): Promise<unknown> => come(() => what().catch(() => false));
  const rows = async (): Promise<number> => (await world.running[0]!.service.pool.query(`select from workflow.children`)).rowCount!;
  /** Another instance that is up. */
  const standby = async (): Promise<ChildProcess> => {
    const second = spawn({});
    await new Promise<void>((resolve) => second.once('message', () => resolve()));
    return second;
  };

  it.each([
    ['workflow:child-noted', async () => (await rows()) > 0],
    ['workflow:child-started', async (child: string) => (await log(child)).length > 1],
    ['workflow:child-ended', async (child: string) => (await log(child)).at(-1)?.type === 'instance.ended'],
  ])('go on in another within 5 s, each begun and ended once: %s', async (point, reached) => {
    const first = spawn({ [point]: { action: 'hang' } });
    const id = await world.ask(workflow([sub('sub', { definition: inner(), params: { n: 1 } })]));
    await until(() => reached(`${id}.sub.1`));
    const second = await standby();
    const killedAt = Date.now();
    first.kill('SIGKILL');
    await until(async () => (await log(id)).at(-1)?.type === 'instance.ended');
    const whole = ['instance.started', 'task.dispatched', 'task.succeeded', 'instance.ended'];
    const [parent, child] = [await log(id), await log(`${id}.sub.1`)];
    expect([parent.map((e) => e.type), child.map((e) => e.type)]).toEqual([whole, whole]);
    expect(parent.at(-1)!.at.getTime() - killedAt).toBeLessThan(5_000);
    second.kill('SIGKILL');
  });

  it('whose parent was let go of while nobody was there to cancel them are found', async () => {
    const first = spawn({ 'workflow:child-started': { action: 'hang' } });
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    world.behaviour = async () => {
      await opened;
      return { ok: true, output: { n: 1 } };
    };
    const id = await world.ask(workflow([sub('sub', { definition: inner(), params: { n: 1 } })]));
    await until(async () => (await log(`${id}.sub.1`)).length > 1);
    first.kill('SIGKILL');
    await endWithout(id, (await log(id)).length); // what an instance wrote that was killed before it told the child
    spawn({});
    await until(async () => (await log(`${id}.sub.1`)).at(-1)?.type === 'instance.ended').finally(open);
    expect((await log(`${id}.sub.1`)).map((e) => e.type)).toContain('cancel.requested');
  });

  const endWithout = async (id: string, version: number): Promise<void> => {
    const { pool } = world.running[0]!.service;
    const { EventStore } = await import('@chrysalis/event-store');
    const { v7 } = await import('uuid');
    const at = new Date().toISOString();
    const meta = { at, correlationId: id, actor: 'user:anna', tenant: 'acme' };
    const events = [
      { type: 'chrysalis.workflow.cancel.requested.v1', data: { workflowId: id, reason: 'enough', compensate: false, at } },
      {
        type: 'chrysalis.workflow.instance.ended.v1',
        data: { workflowId: id, subject: 'vm-1', name: 'test', state: 'cancelled', output: {}, at },
      },
    ].map((e) => ({ id: v7(), meta, ...e }));
    await new EventStore(pool, 'workflow').append({ stream: `workflow-${id}`, expected: version, events });
    await pool.query(`update workflow.instances set state = 'cancelled', ended_at = now() where workflow_id = $1`, [id]);
    await pool.query(`delete from workflow.timers where workflow_id = $1`, [id]);
  };
});
