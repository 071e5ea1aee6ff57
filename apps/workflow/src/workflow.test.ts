import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { failed } from '@chrysalis/service-kit';
import { step, workflow } from './test/definitions.ts';
import { ended, World } from './test/world.ts';

describe('the workflow service, with two services that execute', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.started();
  });
  afterAll(() => world.close());
  beforeEach(() => {
    world.behaviour = () => ({ ok: true, output: {} });
    world.executed.length = 0;
  });

  it('runs a workflow across both to its end, with values passed on', async () => {
    world.behaviour = (input) => ({ ok: true, output: { n: Number(input['n'] ?? 0) + 1 } });
    const id = await world.ask(
      workflow(
        [
          step('a', 'alpha', { input: { n: '${params.n}' } }),
          step('b', 'beta', { input: { n: '${tasks.a.output.n}' } }),
          step('c', 'alpha', { input: { n: '${tasks.b.output.n}' } }),
        ],
        {
          params: { n: { type: 'number' } },
          output: { n: '${tasks.c.output.n}' },
        },
      ),
      { n: 1 },
    );
    const view = await world.until(id, ended);
    expect(view).toMatchObject({ state: 'succeeded', output: { n: 4 } });
    expect(world.executed).toEqual(['run a 1', 'run b 1', 'run c 1']);
  });

  it('undoes in reverse when a task fails for good, and tells the cause', async () => {
    world.behaviour = (_, { dispatch }) =>
      dispatch.task === 'c' && dispatch.action === 'run' ? failed({ code: 'c.broke', message: 'no' }) : { ok: true, output: {} };
    const id = await world.ask(
      workflow([step('a', 'alpha', { undo: true }), step('b', 'beta', { undo: true, after: ['a'] }), step('c', 'alpha', { after: ['b'] })]),
    );
    expect(await world.until(id, ended)).toMatchObject({ state: 'undone', cause: { code: 'c.broke' } });
    expect(world.executed).toEqual(['run a 1', 'run b 1', 'run c 1', 'compensate b 1', 'compensate a 1']);
    const row = `select state, cause_code from workflow.instances where workflow_id = $1`;
    expect((await world.workflow.service.pool.query(row, [id])).rows).toEqual([{ state: 'undone', cause_code: 'c.broke' }]);
  });

  it('tries again when told to, at its time', async () => {
    world.behaviour = (_, { dispatch }) =>
      dispatch.attempt < 3 ? failed({ code: 'x.busy', message: 'busy', retriable: true }) : { ok: true, output: {} };
    const id = await world.ask(workflow([step('a', 'alpha', { retry: { attempts: 3, backoffMs: 100 } })]));
    const view = await world.until(id, ended);
    expect(view.state).toBe('succeeded');
    const times = view.tasks[0]!.attempts.map((a) => Date.parse(a.dispatchedAt));
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(100);
    expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(200);
  });

  it('shows the graph as it was, at a version and at a moment', async () => {
    const id = await world.ask(workflow([step('a', 'alpha'), step('b', 'beta', { after: ['a'] })]));
    const view = await world.until(id, ended);
    expect(view.streamVersion).toBe(6);
    const then = await world.get<typeof view>(`/v1/workflows/${id}?asOf=2`);
    expect(then.body.tasks.map((t) => t.state)).toEqual(['dispatched', 'waiting']);
    expect((await world.get(`/v1/workflows/${id}?asOf=2000-01-01T00:00:00Z`)).status).toBe(404);
    expect((await world.get(`/v1/workflows/${id}?asOf=nonsense`)).status).toBe(422);
    const history = await world.get(`/v1/workflows/${id}/history`);
    const types = history.text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { version: number; type: string }).type.split('.').slice(2, 4).join('.'));
    expect(types).toEqual(['instance.started', 'task.dispatched', 'task.succeeded', 'task.dispatched', 'task.succeeded', 'instance.ended']);
  });

  it('cancels, undoing what was done; twice is as once; an unknown id is a 404', async () => {
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'slow') await new Promise((resolve) => setTimeout(resolve, 300));
      return { ok: true, output: {} };
    };
    const id = await world.ask(
      workflow([
        step('a', 'alpha', { undo: true }),
        step('slow', 'beta', { undo: true, after: ['a'] }),
        step('never', 'alpha', { after: ['slow'] }),
      ]),
    );
    await world.until(id, (v) => v.tasks[1]!.state === 'dispatched');
    expect(await world.post(`/v1/workflows/${id}/cancel`, { reason: 'enough' })).toMatchObject({ status: 202 });
    expect(await world.post(`/v1/workflows/${id}/cancel`, { reason: 'enough' })).toMatchObject({ status: 202 });
    expect(await world.until(id, ended)).toMatchObject({ state: 'cancelled', cause: { code: 'workflow.cancelled' } });
    expect(world.executed).toEqual(['run a 1', 'run slow 1', 'compensate slow 1', 'compensate a 1']);
    expect(await world.post(`/v1/workflows/${id}/cancel`, { reason: 'again' })).toMatchObject({
      status: 409,
      body: { code: 'workflow.ended' },
    });
    expect(await world.post(`/v1/workflows/op-nothing/cancel`, { reason: 'x' })).toMatchObject({
      status: 404,
      body: { code: 'workflow.unknown' },
    });
  });

  it('gives a faulty request its verdict, with every fault', async () => {
    const id = await world.ask(workflow([step('a', 'alpha', { after: ['ghost'], input: { x: '${params.none}' } })]));
    const view = await world.until(id, ended);
    expect(view).toMatchObject({ state: 'undone', cause: { code: 'workflow.request_invalid' } });
    expect((view.cause as unknown as { detail: { faults: object[] } }).detail.faults).toHaveLength(2);
  });

  it('shows nothing to another tenant', async () => {
    const id = await world.ask(workflow([step('a', 'alpha')]));
    await world.until(id, ended);
    const stranger = await world.tokenFor('viewer', 'other');
    expect((await world.get(`/v1/workflows/${id}`, world.workflow, stranger)).status).toBe(404);
    expect((await world.get(`/v1/workflows/${id}/history`, world.workflow, stranger)).status).toBe(404);
  });
});
