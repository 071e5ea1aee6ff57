import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { WorkflowLimits } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { step, workflow } from '../test/definitions.ts';
import { ended, meta, World, type Answered, type Asking } from '../test/world.ts';
import { submitRequest } from '../queue/submit.ts';

let world: World;
let admin: string;
/** Tasks that wait to be let go. */
let gate: PromiseWithResolvers<void>;
beforeAll(async () => {
  world = await World.started();
  admin = await world.tokenFor('fleet', 'acme');
  for (const name of ['audit', 'other']) await publish(name);
});
afterAll(() => world.close());
beforeEach(() => {
  world.executed.length = 0;
  gate = Promise.withResolvers<void>();
  world.behaviour = async (input) => {
    if (input['hold'] === true) await gate.promise;
    return { ok: true, output: {} };
  };
});
afterEach(async () => {
  gate.resolve();
  await limit({});
});

const definition = (name: string, more: Parameters<typeof workflow>[1] = {}) => {
  const tasks = [step('a', 'alpha', { input: { hold: '${params.hold}', n: '${params.n}' } })];
  const { version: _, ...rest } = workflow(tasks, {
    name,
    params: { hold: { type: 'boolean', required: false }, n: { type: 'number', required: false } },
    ...more,
  });
  return rest;
};
const publish = (name: string, more: Parameters<typeof workflow>[1] = {}) =>
  world.post('/v1/workflow-templates', { definition: definition(name, more) }, { token: admin });
const start = (body: object, more: Asking = {}): Promise<Answered> => world.post('/v1/workflows', body, more);
const idOf = (answer: Answered): string => answer.body['workflowId'] as string;
const limit = async (limits: WorkflowLimits): Promise<void> => {
  expect((await world.send('PUT', '/v1/workflow-limits', limits, { token: admin })).status).toBe(200);
};
const queue = async (token = world.token) =>
  (await world.get<{ items: Record<string, unknown>[] }>('/v1/workflow-queue', world.workflow, token)).body.items;
const startsOf = async (workflowId: string): Promise<number> =>
  (
    await world.workflow.service.pool.query<{ n: number }>(
      `select count(*)::int as n from workflow.events where stream_id = $1 and type = 'chrysalis.workflow.instance.started.v1'`,
      [`workflow-${workflowId}`],
    )
  ).rows[0]!.n;

describe('starting a workflow', () => {
  it('by a definition of a kind that nobody takes: it starts, with the warning that a template has', async () => {
    const given = definition('lost');
    const [first, ...rest] = given.tasks;
    const lost = { ...given, tasks: [{ ...first!, kind: 'no.such-kind' }, ...rest] };
    expect(await start({ definition: lost }, { token: admin })).toMatchObject({
      status: 202,
      body: {
        warnings: [{ code: 'workflow.kind_untaken', place: 'tasks[0].kind', message: expect.stringContaining('no.such-kind; it takes') }],
      },
    });
    // What the executors take they tell; it may still be on its way.
    await until(async () => (await start({ definition: given }, { token: admin })).body['warnings'] === undefined);
  });

  it('by name, by name and version, and as an administrator by a definition', async () => {
    await publish('versions', { summary: 'first' });
    await publish('versions', { summary: 'second' });
    const answers = [
      await start({ template: 'versions' }),
      await start({ template: 'versions@1', subject: 'vm-7' }),
      await start({ definition: definition('own') }, { token: admin }),
    ];
    expect(answers.map((a) => [a.status, a.body['queued'], a.body['operation'] === idOf(a)])).toEqual(Array(3).fill([202, false, true]));
    const views = await Promise.all(answers.map((a) => world.until(idOf(a), ended)));
    expect(views).toMatchObject([
      { state: 'succeeded', name: 'versions', version: 2, subject: idOf(answers[0]!) },
      { version: 1, subject: 'vm-7' },
      { name: 'own', version: 1 },
    ]);
  });

  it('is done once for one key, whatever the newest version is by then', async () => {
    await publish('keyed');
    const first = await start({ template: 'keyed' }, { key: 'k-1' });
    await publish('keyed', { summary: 'newer' });
    const again = await start({ template: 'keyed' }, { key: 'k-1' });
    expect([again.status, idOf(again)]).toEqual([202, idOf(first)]);
    expect(await start({ template: 'keyed', priority: 9 }, { key: 'k-1' })).toMatchObject({
      status: 409,
      body: { code: 'idempotency.key_reused' },
    });
    const at_once = await Promise.all(Array.from({ length: 8 }, () => start({ template: 'keyed' }, { key: 'k-2' })));
    expect(new Set(at_once.map(idOf)).size).toBe(1);
    await world.until(idOf(at_once[0]!), ended);
    expect(await startsOf(idOf(at_once[0]!))).toBe(1);
  });

  it('says everything that is wrong before anything is kept', async () => {
    await publish('strict', { params: { vm: { type: 'string' }, n: { type: 'number' }, hold: { type: 'boolean', required: false } } });
    const answer = await start({ template: 'strict', params: { n: 'x', more: 1 } });
    expect(answer).toMatchObject({ status: 422, body: { code: 'workflow.request_invalid' } });
    expect((answer.body['faults'] as { code: string; place: string }[]).map((f) => `${f.code} ${f.place}`).sort()).toEqual([
      'workflow.param_missing params.vm',
      'workflow.param_type params.n',
      'workflow.param_undeclared params.more',
    ]);
    await publish('gone');
    await world.send('DELETE', '/v1/workflow-templates/gone', {}, { token: admin });
    const deep = JSON.parse('['.repeat(150) + ']'.repeat(150)) as unknown;
    const refusals: [object, Asking, number, string][] = [
      [{ template: 'ghost' }, {}, 422, 'workflow.template_unknown'],
      [{ template: 'audit@99' }, {}, 422, 'workflow.template_unknown'],
      [{ template: 'not a name' }, {}, 422, 'workflow.template_unknown'],
      [{ template: 'gone' }, {}, 409, 'workflow.template_retired'],
      [{ template: 'gone@1' }, {}, 409, 'workflow.template_retired'],
      [{ template: 'audit', priority: 10 }, {}, 422, 'request.invalid'],
      [{ template: 'audit', definition: definition('x') }, { token: admin }, 422, 'request.invalid'],
      [{}, {}, 422, 'request.invalid'],
      [{ template: 'audit', params: { n: 1, x: 'x'.repeat(200_000) } }, {}, 422, 'workflow.request_invalid'],
      [{ template: 'audit', params: { x: deep } }, {}, 422, 'workflow.request_invalid'],
      [{ definition: definition('own') }, {}, 403, 'auth.denied'],
      [{ definition: { ...definition('own'), tasks: [] } }, { token: admin }, 422, 'workflow.request_invalid'],
    ];
    for (const [body, more, status, code] of refusals) {
      const refused = await start(body, more);
      expect([refused.status, refused.body['code']]).toEqual([status, code]);
    }
    expect(await queue(admin)).toEqual([]);
  });
});

describe('waiting, where a limit is reached', () => {
  it('waits, is seen, and starts when there is room', async () => {
    await limit({ kinds: { audit: { running: 1 } } });
    const first = await start({ template: 'audit', params: { hold: true } });
    const second = await start({ template: 'audit', params: { n: 2 }, priority: 3 }, { key: 'my-own' });
    const free = await start({ template: 'other' });
    expect([first, second, free].map((a) => a.body['queued'])).toEqual([false, true, false]);
    expect((await world.get(`/v1/workflows/${idOf(second)}`)).body).toMatchObject({
      state: 'queued',
      name: 'audit',
      priority: 3,
      tasks: [],
    });
    const waiting = (await queue()).filter((entry) => entry['state'] === 'waiting'); // what may start leaves the queue by and by
    expect(waiting).toEqual([expect.objectContaining({ workflowId: idOf(second), name: 'audit', priority: 3, key: 'my-own' })]);
    expect(await queue(await world.tokenFor('viewer', 'stranger'))).toEqual([]);
    const limits = await world.get<{ running: object[] }>('/v1/workflow-limits');
    expect(limits.body.running).toContainEqual({ tenant: 'acme', kind: 'audit', count: 1 });
    gate.resolve();
    expect(await world.until(idOf(second), ended)).toMatchObject({ state: 'succeeded', version: 1 });
    await world.until(idOf(first), ended);
    expect(await queue()).toEqual([]);
    const history = (await world.get(`/v1/workflows/${idOf(second)}/history`)).text;
    expect(history.match(/"type":"chrysalis\.workflow\.([a-z.-]+)\.v1"/g)?.slice(0, 2)).toEqual([
      '"type":"chrysalis.workflow.instance.queued.v1"',
      '"type":"chrysalis.workflow.instance.started.v1"',
    ]);
  });

  it('is cancelled before it starts, and then never does', async () => {
    await limit({ overall: { running: 1 } });
    const first = await start({ template: 'audit', params: { hold: true } });
    const second = await start({ template: 'audit', params: { n: 2 } });
    expect(await world.post(`/v1/workflows/${idOf(second)}/cancel`, { reason: 'enough' })).toMatchObject({ status: 202 });
    expect((await world.get(`/v1/workflows/${idOf(second)}`)).body).toMatchObject({
      state: 'cancelled',
      cause: { code: 'workflow.cancelled' },
    });
    expect(await queue()).toEqual([]);
    gate.resolve();
    await world.until(idOf(first), ended);
    const third = await start({ template: 'audit' });
    await world.until(idOf(third), ended);
    expect(await startsOf(idOf(second))).toBe(0);
    expect(world.executed).toHaveLength(2);
  });

  it('goes by priority, and by age within one', async () => {
    await limit({ perTenant: { running: 1 } });
    const order: number[] = [];
    world.behaviour = async (input) => {
      if (input['hold'] === true) await gate.promise;
      else order.push(Number(input['n']));
      return { ok: true, output: {} };
    };
    await start({ template: 'audit', params: { hold: true } });
    const ids: string[] = [];
    for (const [n, priority] of [
      [1, 0],
      [2, 5],
      [3, 9],
      [4, 5],
      [5, 9],
    ] as const)
      ids.push(idOf(await start({ template: 'audit', params: { n }, priority })));
    gate.resolve();
    for (const id of ids) await world.until(id, ended);
    expect(order).toEqual([3, 5, 2, 4, 1]);
  });

  it('refuses what would wait in a full queue, says when to come again, and keeps nothing of it', async () => {
    await limit({ tenants: { acme: { running: 1, queued: 2 } } });
    await start({ template: 'audit', params: { hold: true } });
    const waiting = [await start({ template: 'audit' }), await start({ template: 'audit' })];
    const full = await start({ template: 'audit' }, { key: 'later' });
    expect(full).toMatchObject({ status: 429, body: { code: 'workflow.queue_full', queued: 2 } });
    expect(Number(full.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    const stranger = await world.tokenFor('operator', 'stranger');
    expect((await start({ template: 'audit' }, { token: stranger })).body).toMatchObject({ queued: false });
    expect(await queue()).toHaveLength(2);
    gate.resolve();
    for (const a of waiting) await world.until(idOf(a), ended);
    const later = await start({ template: 'audit' }, { key: 'later' });
    expect(later.status).toBe(202);
    await world.until(idOf(later), ended);
    // Two have left the queue: the pace is known now.
    gate = Promise.withResolvers();
    await start({ template: 'audit', params: { hold: true } });
    await Promise.all([start({ template: 'audit' }), start({ template: 'audit' })]);
    const again = await start({ template: 'audit' });
    expect(again.status).toBe(429);
    expect(Number(again.headers.get('retry-after'))).toBeLessThanOrEqual(60);
  });

  it('holds what other contexts ask for by events, and starts it in its turn', async () => {
    await limit({ kinds: { asked: { running: 1 } } });
    const { version: _, ...rest } = workflow([step('a', 'alpha', { input: { hold: true } })], { name: 'asked' });
    const one = await world.ask({ ...rest, version: 1 });
    await world.until(one, (v) => v.state === 'running');
    const two = await world.ask({ ...rest, version: 1 });
    await world.until(two, (v) => v.state === 'queued');
    gate.resolve();
    expect(await world.until(two, ended)).toMatchObject({ state: 'succeeded' });
    expect([await startsOf(one), await startsOf(two)]).toEqual([1, 1]);
  });

  it('lets in at once when the limits are raised', async () => {
    await limit({ overall: { running: 0 } });
    const stopped = await start({ template: 'audit' });
    expect(stopped.body).toMatchObject({ queued: true });
    await limit({});
    expect(await world.until(idOf(stopped), ended)).toMatchObject({ state: 'succeeded' });
  });

  it('ends what waited until its time was over', async () => {
    const { store, pool } = world.workflow.service;
    const workflowId = `op-${uuidv7()}`;
    const at = new Date(Date.now() - 10_000).toISOString();
    const data = {
      workflowId,
      subject: 'vm-1',
      tenant: 'acme',
      name: 'audit',
      version: 1,
      summary: 's',
      tasks: 1,
      priority: 5,
      at,
      expiresAt: at,
    };
    const event = { id: uuidv7(), type: 'chrysalis.workflow.instance.queued.v1', data, meta: { ...meta(workflowId), at } };
    await store.append({ stream: `workflow-${workflowId}`, expected: 'noStream', events: [event] });
    await pool.query(`insert into workflow.timers (workflow_id, at, version) values ($1, $2, 1)`, [workflowId, at]);
    expect(await world.until(workflowId, ended)).toMatchObject({ state: 'undone', cause: { code: 'workflow.queue_deadline_passed' } });
    expect((await pool.query(`select from workflow.timers where workflow_id = $1`, [workflowId])).rowCount).toBe(0);
  });

  it('takes limits only from administrators, and only what they can be', async () => {
    expect(await world.send('PUT', '/v1/workflow-limits', {})).toMatchObject({ status: 403 });
    expect(await world.send('PUT', '/v1/workflow-limits', { overall: { running: -1 }, kind: {} }, { token: admin })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid' },
    });
  });
});

describe('for other parts of the service', () => {
  it('takes a request with the transaction that it is asked in, once', async () => {
    const { service } = world.workflow;
    const ask = (workflowId: string) => ({ workflowId, template: 'audit@1', params: {}, subject: 'vm-1', tenant: 'acme', key: 'slot-1' });
    const [gone, kept] = [`op-${uuidv7()}`, `op-${uuidv7()}`];
    await expect(
      service.store.transaction(async (tx) => {
        expect(await submitRequest(service, tx, ask(gone))).toEqual({ ok: true, workflowId: gone });
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await service.store.transaction((tx) => submitRequest(service, tx, ask(kept)));
    expect(await world.until(kept, ended)).toMatchObject({ state: 'succeeded', tenant: 'acme' });
    expect(await submitRequest(service, service.pool, ask(kept))).toEqual({ ok: true, workflowId: kept });
    expect([await startsOf(gone), await startsOf(kept)]).toEqual([0, 1]);
    expect(await submitRequest(service, service.pool, { ...ask(gone), template: 'ghost@1' })).toMatchObject({
      ok: false,
      rejection: { code: 'workflow.template_unknown' },
    });
    expect(await submitRequest(service, service.pool, { ...ask('template-x') })).toMatchObject({ ok: false });
  });
});
