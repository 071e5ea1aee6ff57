import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { eventsTopic } from '@chrysalis/contracts';
import { toCloudEvent } from '@chrysalis/messaging';
import { until } from '@chrysalis/testing';
import { changed, establish, firedOf, policy, publishTemplate, scheduled, STATE_CHANGED, startsOf } from '../test/policies.ts';
import { ended, World } from '../test/world.ts';

describe('policies, with two instances of the service', () => {
  let world: World;
  const get = async (name: string, token = world.token) =>
    (await world.get<Record<string, never>>(`/v1/workflow-policies/${name}`, world.workflow, token)).body as Record<string, unknown>;
  const firings = async (name: string) => (await get(name))['firings'] as { state: string; reason: { code: string } | null }[];
  beforeAll(async () => {
    world = await World.started();
    await world.startWorkflow();
    await publishTemplate(world);
  });
  afterAll(() => world.close());
  beforeEach(() => {
    world.behaviour = () => ({ ok: true, output: {} });
  });

  it('come along with their templates, disabled, for administrators', async () => {
    const admin = await world.tokenFor('fleet', 'ops');
    const page = await world.get<{ items: { name: string; status: string; tenant: string; revision: number }[] }>(
      '/v1/workflow-policies',
      world.workflow,
      admin,
    );
    expect(page.body.items.map((p) => [p.name, p.status, p.tenant, p.revision])).toEqual([
      ['audit-holds-daily', 'disabled', '*', 1],
      ['audit-returned-hosts', 'disabled', '*', 1],
      ['drain-retiring-hosts', 'disabled', '*', 1],
      ['retire-deprecated-types', 'disabled', '*', 1],
    ]);
    for (const name of ['drain-host', 'retire-vm-type', 'audit-holds'])
      expect((await world.get(`/v1/workflow-templates/${name}/1`)).status).toBe(200);
    expect((await world.get<{ items: object[] }>('/v1/workflow-policies')).body.items).toEqual([]);
    expect((await world.post('/v1/workflow-policies/drain-retiring-hosts/enable', {})).status).toBe(404);
    const enabled = await world.post('/v1/workflow-policies/audit-holds-daily/enable', { reason: 'go' }, { token: admin });
    expect(enabled.body).toMatchObject({ status: 'enabled' });
    expect(Date.parse((await get('audit-holds-daily', admin))['next'] as string)).toBeGreaterThan(Date.now());
  });

  it('are refused with every fault at once, and what is another tenant’s is not there', async () => {
    const bad = policy('bad', {
      on: { event: 'chrysalis.workflow.nothing.happened.v1', when: 'event.' },
      start: { template: 'ghost@1', params: { host: '${event.date}' }, subject: '${x}' },
    });
    const answer = await world.post('/v1/workflow-policies', bad);
    expect([answer.status, answer.body['code']]).toEqual([422, 'workflow-policy.invalid']);
    expect((answer.body['faults'] as { place: string }[]).map((f) => f.place)).toEqual([
      'on.event', 'on.when', 'start.params.host', 'start.subject', 'start.template',
    ]); // prettier-ignore
    const shape = await world.post('/v1/workflow-policies', { ...bad, name: 'B', limits: { maxRunning: 0 } });
    expect([shape.body['code'], (shape.body['errors'] as object[]).length]).toEqual(['request.invalid', 2]);
    for (const tenant of ['*', 'other'])
      expect(await world.post('/v1/workflow-policies', policy('mine', { tenant }))).toMatchObject({
        status: 403,
        body: { code: 'workflow-policy.foreign_tenant' },
      });
    expect((await world.post('/v1/workflow-policies', policy('mine'))).body).toMatchObject({ revision: 1, status: 'disabled' });
    expect((await world.post('/v1/workflow-policies', policy('mine'))).body).toMatchObject({ revision: 1 });
    const stranger = await world.tokenFor('operator', 'other');
    expect((await world.get('/v1/workflow-policies/mine', world.workflow, stranger)).status).toBe(404);
    expect(await world.post('/v1/workflow-policies', policy('mine'), { token: stranger })).toMatchObject({
      status: 409,
      body: { code: 'workflow-policy.name_taken' },
    });
    for (const verb of ['enable', 'disable'])
      expect((await world.post(`/v1/workflow-policies/mine/${verb}`, {}, { token: stranger })).status).toBe(404);
    expect((await world.send('DELETE', '/v1/workflow-policies/mine', {}, { token: stranger })).status).toBe(404);
    expect((await world.send('DELETE', '/v1/workflow-policies/mine', {})).body).toMatchObject({ status: 'removed' });
    expect((await world.get('/v1/workflow-policies/mine')).status).toBe(404);
  });

  it('are written down and enabled in one, which can be tried whole', async () => {
    const both = '/v1/workflow-policies?enable=true';
    expect(await world.post(`${both}&dryRun=true`, policy('both'))).toMatchObject({
      status: 200,
      body: { status: 'enabled', dryRun: true },
    });
    expect((await world.get('/v1/workflow-policies/both')).status).toBe(404);
    expect(await world.post(both, policy('both'))).toMatchObject({ status: 201, body: { status: 'enabled', revision: 1 } });
    expect(await get('both')).toMatchObject({ status: 'enabled' });
    await world.send('DELETE', '/v1/workflow-policies/both', {});
  });

  it('start a workflow by an event of their tenant of which the condition holds', async () => {
    await establish(world, policy('one'));
    await changed(world, 'h0', 'cordoned');
    await changed(world, 'h0', 'retiring', 'other');
    const eventId = await changed(world, 'h1');
    const view = await world.until(`by-policy-one-${eventId}`, ended);
    expect(view).toMatchObject({ state: 'succeeded', subject: 'h1', params: { host: 'h1' }, tenant: 'acme' });
    expect(await firedOf(world, 'one')).toMatchObject([
      { name: 'one', revision: 1, workflowId: `by-policy-one-${eventId}`, subject: 'h1', cause: { kind: 'event', eventId } },
    ]);
    expect(await firings('one')).toMatchObject([{ state: 'started', reason: null }]);
    // What comes next of that host is handled after what came before it.
    const next = `by-policy-one-${await changed(world, 'h0')}`;
    await world.until(next, ended);
    expect((await startsOf(world, 'one')).map((s) => s.workflowId)).toEqual([`by-policy-one-${eventId}`, next]);
  });

  it('start nothing twice when the event comes again, on whichever instance', async () => {
    await establish(world, policy('again', { limits: { maxRunning: 10 } }));
    const eventId = await changed(world, 'h2');
    const says = world.running.find((s) => s.context === 'resource-allocation')!.service;
    const stored = (await says.store.read('host-h2')).find((e) => e.id === eventId)!;
    const event = toCloudEvent(stored, { context: 'resource-allocation' });
    for (let n = 0; n < 10; n++) await says.bus.publish([{ topic: eventsTopic('resource-allocation'), event }]);
    await world.until(`by-policy-again-${eventId}`, ended);
    for (let n = 0; n < 5; n++) await says.bus.publish([{ topic: eventsTopic('resource-allocation'), event }]);
    const next = await changed(world, 'h2'); // behind them all
    await world.until(`by-policy-again-${next}`, ended);
    const once = [eventId, next].map((id) => `by-policy-again-${id}`);
    expect((await startsOf(world, 'again')).map((s) => s.workflowId)).toEqual(once);
    expect((await firedOf(world, 'again')).map((f) => f.workflowId)).toEqual(once);
  });

  it('keep to how many may run and lose none, though both instances start them', async () => {
    let [running, most] = [0, 0];
    world.behaviour = async (_, { dispatch }) => {
      if (!dispatch.workflowId.startsWith('by-policy-few-')) return { ok: true, output: {} }; // other policies wait for the same events
      most = Math.max(most, ++running);
      await pause(40);
      running--;
      return { ok: true, output: {} };
    };
    await establish(world, policy('few', { limits: { maxRunning: 3 } }));
    const ids = await Promise.all(Array.from({ length: 20 }, (_, n) => changed(world, `few-${n}`)));
    await until(async () => (await firings('few')).length === 20 && (await firings('few')).every((f) => f.state !== 'waiting'));
    await Promise.all(ids.map((id) => world.until(`by-policy-few-${id}`, ended)));
    expect((await startsOf(world, 'few')).map((s) => s.workflowId).sort()).toEqual(ids.map((id) => `by-policy-few-${id}`).sort());
    expect(most).toBeLessThanOrEqual(3);
    expect(await firedOf(world, 'few')).toHaveLength(20);
  });

  it('keep their distance', async () => {
    await establish(world, policy('slow', { limits: { maxRunning: 10, minIntervalMs: 1_500 } }));
    for (const n of [1, 2, 3]) await changed(world, `slow-${n}`);
    const starts = await until(async () => ((await startsOf(world, 'slow')).length === 3 ? startsOf(world, 'slow') : undefined));
    const times = starts.map((s) => Date.parse(s.at));
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(1_400);
    expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(1_400);
  });

  it('say why they do not start, and hold no event up', async () => {
    await establish(world, policy('broken', { on: { event: STATE_CHANGED, when: 'event.data.ghost == 1' } }));
    await establish(world, policy('whole'));
    const eventId = await changed(world, 'h3');
    await world.until(`by-policy-whole-${eventId}`, ended);
    const told = await until(async () => ((await get('broken'))['failures'] as number) > 0 && (await get('broken')));
    expect(told).toMatchObject({ failures: 1, lastFailure: { code: 'workflow.condition_failed', eventId }, firings: [] });
    expect(
      (await world.get<{ items: object[] }>('/v1/dead-letters', world.workflow, await world.tokenFor('fleet', 'acme'))).body.items,
    ).toEqual([]);
    const odd = policy('odd', { start: { template: 'look-after@1', params: { host: 'x' }, subject: '${event.data.reason} !' } });
    await establish(world, odd);
    await changed(world, 'h4');
    const [refused] = await until(async () => ((await firings('odd'))[0]?.state === 'refused' ? firings('odd') : undefined));
    expect(refused).toMatchObject({ state: 'refused', reason: { code: 'workflow-policy.params_invalid' } });
    expect(await startsOf(world, 'odd')).toEqual([]);
  });

  it('fire no more from the answer on when they are disabled, and let go of what waited', async () => {
    const gate = Promise.withResolvers<void>();
    world.behaviour = async () => {
      await gate.promise;
      return { ok: true, output: {} };
    };
    await establish(world, policy('off'));
    await establish(world, policy('beside', { limits: { maxRunning: 10 } }));
    const first = await changed(world, 'off-1');
    await world.until(`by-policy-off-${first}`, () => true);
    await changed(world, 'off-2');
    await until(async () => (await firings('off')).some((f) => f.state === 'waiting'));
    expect((await world.post('/v1/workflow-policies/off/disable', { reason: 'enough' })).body).toMatchObject({ status: 'disabled' });
    const third = await changed(world, 'off-3');
    gate.resolve();
    await world.until(`by-policy-off-${first}`, ended);
    await world.until(`by-policy-beside-${third}`, ended); // an event is noted for all policies at once
    await until(async () => (await firings('off')).every((f) => f.state !== 'waiting'));
    expect((await firings('off')).map((f) => [f.state, f.reason?.code])).toEqual([
      ['refused', 'workflow-policy.disabled'],
      ['started', undefined],
    ]);
    expect(await startsOf(world, 'off')).toHaveLength(1);
  });

  it('start on schedule, each slot once', async () => {
    await establish(world, scheduled('ticking', '* * * * * *', { limits: { maxRunning: 100 } }));
    await until(async () => (await startsOf(world, 'ticking')).length >= 3);
    await world.send('DELETE', '/v1/workflow-policies/ticking', {});
    const slots = (await firedOf(world, 'ticking')).map((f) => f.cause.at!);
    expect(new Set(slots).size).toBe(slots.length);
    expect(slots.every((s) => s.endsWith('.000Z'))).toBe(true);
    expect(slots).toEqual([...slots].sort());
  });

  it('can be tried without starting anything', async () => {
    await world.post('/v1/workflow-policies', policy('tried'));
    const attempt = async (body: object, name = 'tried') => (await world.post(`/v1/workflow-policies/${name}/test`, body)).body;
    const event = { type: STATE_CHANGED, id: 'e-1', data: { hostId: 'h9', from: 'enabled', to: 'retiring', reason: 'x' } };
    expect(await attempt({ event })).toEqual({
      fires: true,
      workflowId: 'by-policy-tried-e-1',
      params: { host: 'h9' },
      subject: 'h9',
    });
    expect(await attempt({ event: { ...event, data: { ...event.data, to: 'enabled' } } })).toMatchObject({
      fires: false,
      why: { code: 'policy.condition_false' },
    });
    expect(await attempt({ event: { ...event, data: {} } })).toMatchObject({ why: { code: 'workflow.condition_failed' } });
    expect(await attempt({ event: { ...event, tenant: 'other' } })).toMatchObject({ why: { code: 'policy.foreign_event' } });
    expect(await attempt({ event: { ...event, data: { to: 'retiring' } } })).toMatchObject({
      why: { code: 'workflow-policy.params_invalid', faults: [{ place: 'params.host' }, {}] },
    });
    expect(await attempt({ at: '2026-11-23T00:00:00Z' })).toMatchObject({ why: { code: 'policy.not_scheduled' } });
    await world.post('/v1/workflow-policies', scheduled('nightly', '0 3 * * *'));
    expect(await attempt({ at: '2026-11-23T00:00:00Z' }, 'nightly')).toMatchObject({ fires: true, next: '2026-11-23T03:00:00.000Z' });
    expect((await world.get('/v1/workflow-policies/tried')).body).toMatchObject({ firings: [] });
  });

  it('make up for what was missed while nobody ran with one start, for the latest slot', async () => {
    await establish(world, scheduled('missed', '0 * * * *'));
    const { pool } = world.running[0]!.service;
    for (const service of world.running.filter((s) => s.context === 'workflow')) await world.stop(service);
    await pool.query(`update workflow.policies set next_at = date_trunc('hour', now()) - interval '40 hours' where name = 'missed'`);
    await world.startWorkflow();
    await world.startWorkflow();
    await until(async () => (await startsOf(world, 'missed')).length > 0);
    await establish(world, scheduled('behind', '* * * * * *'));
    await until(async () => (await startsOf(world, 'behind')).length >= 2); // a round looks at each policy
    const fired = await firedOf(world, 'missed');
    expect(fired).toHaveLength(1);
    expect(fired[0]!.cause.missed).toBeGreaterThanOrEqual(35);
    expect(Date.now() - Date.parse(fired[0]!.cause.at!)).toBeLessThan(3_660_000);
    expect(Date.parse((await get('missed'))['next'] as string)).toBeGreaterThan(Date.now());
    expect(await startsOf(world, 'missed')).toHaveLength(1);
  });
});
