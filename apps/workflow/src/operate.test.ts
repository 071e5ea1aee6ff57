import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { failed } from '@chrysalis/service-kit';
import { evolve, initial, viewOf, type WorkflowInstance } from '@chrysalis/workflow-core';
import { step, workflow } from './test/definitions.ts';
import { ended, World } from './test/world.ts';

/** A promise and its resolver. */
const gate = (): { opened: Promise<void>; open: () => void } => {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
};

describe('what an operator does with running workflows', () => {
  let world: World;
  beforeAll(async () => {
    world = await World.started();
  });
  afterAll(() => world.close());
  beforeEach(() => {
    world.behaviour = () => ({ ok: true, output: {} });
    world.executed.length = 0;
  });
  const change = (id: string, wanted: object, key?: string, headers?: Record<string, string>) =>
    world.post(
      `/v1/workflows/${id}/changes`,
      { change: wanted, reason: 'by test' },
      { ...(key ? { key } : {}), ...(headers ? { headers } : {}) },
    );

  it('adds, skips and repeats; each change is an event with actor and reason, and done once by its key', async () => {
    const slow = gate();
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'a') await slow.opened;
      return { ok: true, output: {} };
    };
    const id = await world.ask(workflow([step('a', 'alpha'), step('b', 'beta', { after: ['a'] }), step('c', 'alpha', { after: ['b'] })]));
    await world.until(id, (v) => v.tasks[0]!.state === 'dispatched');
    const added = { type: 'add-task', task: step('extra', 'beta', { after: ['a'] }), before: ['c'] };
    const first = await change(id, added, 'key-1');
    expect(first).toMatchObject({ status: 200, body: { workflowId: id } });
    expect(await change(id, added, 'key-1')).toMatchObject({ status: 200 });
    expect(await change(id, { type: 'pause' }, 'key-1')).toMatchObject({ status: 409, body: { code: 'idempotency.key_reused' } });
    expect(await change(id, added, 'key-2')).toMatchObject({ status: 422, body: { code: 'workflow.change_invalid' } });
    expect(await change(id, { type: 'skip-task', task: 'b' })).toMatchObject({ status: 200 });
    expect(await change(id, { type: 'skip-task', task: 'a' })).toMatchObject({
      status: 409,
      body: { code: 'workflow.task_running', detail: expect.stringContaining('mark it done') },
    });
    expect(await change(id, { type: 'rewire', task: 'ghost', after: [] })).toMatchObject({
      status: 422,
      body: { code: 'workflow.task_unknown', detail: expect.stringContaining('ghost') },
    });
    expect(await change(id, { type: 'no-such' })).toMatchObject({ status: 422, body: { code: 'request.invalid' } });
    slow.open();
    expect(await world.until(id, ended)).toMatchObject({ state: 'succeeded' });
    expect(world.executed).toEqual(['run a 1', 'run extra 1', 'run c 1']);
    expect(await change(id, { type: 'pause' })).toMatchObject({ status: 409, body: { code: 'workflow.ended' } });
    const history = (await world.get(`/v1/workflows/${id}/history`)).text
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l));
    expect(history.filter((e) => e.type.includes('changed')).map((e) => [e.data.change.type, e.data.actor, e.data.reason])).toEqual([
      ['add-task', 'user:anna', 'by test'],
      ['skip-task', 'user:anna', 'by test'],
    ]);
  });

  it('a change made from an older version than there is is refused with 412', async () => {
    const slow = gate();
    world.behaviour = async () => {
      await slow.opened;
      return { ok: true, output: {} };
    };
    const id = await world.ask(workflow([step('a', 'alpha'), step('b', 'beta', { after: ['a'] })]));
    const { streamVersion } = await world.until(id, (v) => v.tasks[0]!.state === 'dispatched');
    const at = (version: number) => ({ 'if-match': `"${version}"` });
    expect(await change(id, { type: 'pause' }, undefined, at(streamVersion - 1))).toMatchObject({
      status: 412,
      body: { code: 'stream.version_mismatch', actual: streamVersion },
    });
    const paused = await change(id, { type: 'pause' }, undefined, at(streamVersion));
    expect(paused).toMatchObject({ status: 200, body: { version: streamVersion + 1 } });
    expect(paused.headers.get('etag')).toBe(`"${streamVersion + 1}"`);
    expect(await change(id, { type: 'resume' }, undefined, at(streamVersion))).toMatchObject({ status: 412 });
    slow.open();
    const held = await world.until(id, (v) => v.tasks[0]!.state === 'succeeded');
    expect(held).toMatchObject({ state: 'running', paused: true });
    expect(await change(id, { type: 'resume' })).toMatchObject({ status: 200 });
    expect((await world.until(id, ended)).state).toBe('succeeded');
  });

  it('retries a stopped workflow from its task, undoes a finished one, and cancels without compensation', async () => {
    let broken = true;
    world.behaviour = (_, { dispatch }) =>
      dispatch.task === 'after' && broken ? failed({ code: 'x.broke', message: 'no' }) : { ok: true, output: {} };
    const id = await world.ask(workflow([step('point', 'alpha', { pointOfNoReturn: true }), step('after', 'beta', { after: ['point'] })]));
    expect(await world.until(id, ended)).toMatchObject({ state: 'stopped', missing: ['after'] });
    expect(await world.post(`/v1/workflows/${id}/undo`, { reason: 'no' })).toMatchObject({ status: 409, body: { code: 'workflow.ended' } });
    broken = false;
    expect(await change(id, { type: 'retry-from', task: 'after' })).toMatchObject({ status: 200 });
    expect((await world.until(id, ended)).state).toBe('succeeded');

    const done = await world.ask(workflow([step('a', 'alpha', { undo: true }), step('b', 'beta', { undo: true, after: ['a'] })]));
    await world.until(done, ended);
    world.executed.length = 0;
    expect(await world.post(`/v1/workflows/${done}/undo`, { reason: 'not wanted' })).toMatchObject({ status: 202 });
    expect(await world.until(done, (v) => v.state === 'undone')).toMatchObject({ cause: { code: 'workflow.undo_asked' } });
    expect(world.executed).toEqual(['compensate b 1', 'compensate a 1']);

    const slow = gate();
    world.behaviour = async (_, { dispatch }) => {
      if (dispatch.task === 'b') await slow.opened;
      return { ok: true, output: {} };
    };
    const left = await world.ask(workflow([step('a', 'alpha', { undo: true }), step('b', 'beta', { after: ['a'] })]));
    await world.until(left, (v) => v.tasks[1]!.state === 'dispatched');
    expect(await world.post(`/v1/workflows/${left}/cancel`, { reason: 'leave it', compensate: false })).toMatchObject({ status: 202 });
    expect(await world.until(left, ended)).toMatchObject({ state: 'cancelled', missing: ['a'] });
    slow.open();
  });

  it('shows items of a forEach in short, and page by page; its history replays to what is shown', async () => {
    world.behaviour = (input, { dispatch }) =>
      dispatch.task.startsWith('each.') && input['n'] === 7 ? failed({ code: 'x.seven', message: 'no' }) : { ok: true, output: {} };
    const id = await world.ask(
      workflow(
        [
          step('point', 'alpha', { pointOfNoReturn: true }),
          step('each', 'beta', { after: ['point'], forEach: { items: '${params.list}', concurrency: 50 }, input: { n: '${item}' } }),
        ],
        { params: { list: { type: 'array' } } },
      ),
      { list: Array.from({ length: 150 }, (_, i) => i) },
    );
    const view = await world.until(id, ended);
    expect(view).toMatchObject({ state: 'stopped' });
    expect(view.tasks.map((t) => t.name)).toEqual(['point', 'each', 'each.7']);
    expect(view.tasks[1]).toMatchObject({ items: { count: 150, states: { succeeded: 149, failed: 1 } }, dependsOn: ['point'] });
    type Page = { items: { name: string; item: object }[]; next?: string; states: object };
    const first = (await world.get<Page>(`/v1/workflows/${id}/tasks/each/items?limit=100`)).body;
    const second = (await world.get<Page>(`/v1/workflows/${id}/tasks/each/items?limit=100&cursor=${first.next}`)).body;
    expect([...first.items, ...second.items].map((i) => i.name)).toEqual(Array.from({ length: 150 }, (_, i) => `each.${i}`));
    expect(second.next).toBeUndefined();
    expect((await world.get<Page>(`/v1/workflows/${id}/tasks/each/items?state=failed`)).body.items).toMatchObject([
      { name: 'each.7', item: { of: 'each', position: 7 } },
    ]);
    expect((await world.get(`/v1/workflows/${id}/tasks/point/items`)).status).toBe(404);

    const lines = (await world.get(`/v1/workflows/${id}/history`)).text
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l));
    const replayed = viewOf(lines.reduce<WorkflowInstance>(evolve, initial), { items: 'some' });
    const { streamVersion, ...live } = view;
    expect(JSON.parse(JSON.stringify(replayed))).toEqual(live);
    expect(lines).toHaveLength(streamVersion);
  });

  it('leaves secrets out of the history for whoever is no administrator', async () => {
    const id = await world.ask(
      workflow([step('a', 'alpha', { input: { grant: '${params.grant}' } })], { params: { grant: { type: 'string' } } }),
      {
        grant: 'a-bearer-document',
      },
    );
    await world.until(id, ended);
    expect((await world.get(`/v1/workflows/${id}/history`)).text).not.toContain('a-bearer-document');
    const admin = await world.tokenFor('fleet', 'acme');
    expect((await world.get(`/v1/workflows/${id}/history`, world.workflow, admin)).text).toContain('a-bearer-document');
  });
});
