import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { provisioningEvents, type WorkflowRequest } from '@chrysalis/contracts';
import { facts, smallType, vm } from '@chrysalis/migration-templates-core/testing';
import { openWorld, type World } from '../test/world.ts';

let world: World;
const vmIds = ['vm-a', 'vm-b', 'vm-c'];
const others = ['vm-x', 'vm-y'];
beforeAll(async () => {
  world = await openWorld();
  await world.type(smallType);
  for (const host of ['h1', 'h2']) await world.host(facts(host));
  for (const vmId of [...vmIds, ...others]) await world.vm(vm({ vmId }));
  const there = 'select from migration_templates.known_vms';
  await world.until(async () => (await world.service.service.pool.query(there)).rowCount === 5);
});
afterAll(() => world.close());

const refused = { code: 'host.link_lost', message: 'cut' };
const begin = async (ids: string[], body: object = {}): Promise<string> => {
  const plan = await world.call('POST', '/v1/migration-plans', { option: 'small@1/move/pre-copy/expose', vmIds: ids });
  const answer = await world.call('POST', '/v1/migrations', { planId: plan.body['planId'], ...body });
  if (answer.status !== 202) throw new Error(JSON.stringify(answer.body));
  return answer.body['migrationId'] as unknown as string;
};
const post = (id: string, verb: string, body: object = {}) => world.call('POST', `/v1/migrations/${id}/${verb}`, body);

type Begun = { vmId: string; request: WorkflowRequest };
const begunOf = async (id: string): Promise<Begun[]> =>
  (await world.stream(`migration-${id}`)).filter((e) => e.type.endsWith('move.started.v1')).map((e) => e.data as Begun);
const nth = (id: string, n: number) => world.until(async () => (await begunOf(id))[n]);
const end = async (id: string, n: number, state: 'succeeded' | 'undone' = 'succeeded'): Promise<void> => {
  const { request } = await nth(id, n);
  await world.ran(request, state === 'succeeded' ? { state } : { state, failing: 'transfer', cause: refused });
  await world.until(async () => (await world.stream(`migration-${id}`)).some((e) => e.type.endsWith('move.ended.v1') && has(e, request)));
};
const has = (e: { data: unknown }, { workflowId }: WorkflowRequest): boolean => (e.data as { moveId: string }).moveId === workflowId;
const over = (id: string) =>
  world.until(async () => {
    const [told] = (await world.stream(`migration-${id}`)).filter((e) => e.type.endsWith('migration.ended.v1'));
    return told?.data as { state: string; cause?: { code: string }; counts: object } | undefined;
  });
/** Whatever was to begin by now would have, and as many have. */
const expectBegun = async (id: string, ...ids: string[]): Promise<void> => expect((await begunOf(id)).map((m) => m.vmId)).toEqual(ids);

describe('a set', () => {
  test('a canary that fails stops it, whatever its budget', async () => {
    const id = await begin(vmIds, { concurrency: 3, policy: { canary: 1, maxFailures: 3 } });
    await expectBegun(id, 'vm-a');
    await end(id, 0, 'undone');
    expect(await over(id)).toMatchObject({
      state: 'undone',
      cause: { code: 'migration.canary_failed', detail: { first: refused } },
      counts: { succeeded: 0, undone: 1, failed: 0, notBegun: 2 },
    });
    await expectBegun(id, 'vm-a');
  });

  test('a budget of two holds one failure; the share of a small set is one', async () => {
    const id = await begin(vmIds, { policy: { maxFailures: 2 } });
    await end(id, 0, 'undone');
    await end(id, 1);
    await end(id, 2);
    expect(await over(id)).toMatchObject({ state: 'failed', counts: { succeeded: 2, undone: 1, failed: 0, notBegun: 0 } });
    const small = await begin(vmIds, { policy: { maxFailures: '10%' } });
    await end(small, 0, 'undone');
    expect(await over(small)).toMatchObject({ counts: { notBegun: 2 } });
  });

  test('limits count the moves of other sets: what they hold back begins when those have ended', async () => {
    const first = await begin(others, { concurrency: 2 });
    const second = await begin(vmIds, { concurrency: 3, policy: { limits: { perTarget: 2 } } });
    await expectBegun(second);
    await end(first, 0);
    expect((await nth(second, 0)).vmId).toBe('vm-a');
    await expectBegun(second, 'vm-a');
    await world.restart();
    await end(first, 1);
    expect((await nth(second, 1)).vmId).toBe('vm-b');
    await expectBegun(second, 'vm-a', 'vm-b');
    for (const n of [0, 1, 2]) await end(second, n);
    expect(await over(second)).toMatchObject({ state: 'succeeded' });
  });

  test('an order of VMs that wait for each other, or are of no plan, is refused and leaves nothing', async () => {
    const before = await world.events();
    const plan = await world.call('POST', '/v1/migration-plans', { option: 'small@1/move/pre-copy/expose', vmIds });
    const start = (after: object) => world.call('POST', '/v1/migrations', { planId: plan.body['planId'], policy: { after } });
    const cyclic = await start({ 'vm-a': ['vm-b'], 'vm-b': ['vm-a'] });
    expect([cyclic.status, cyclic.body['code'], cyclic.body['vmIds']]).toEqual([422, 'migration.order_cyclic', ['vm-a', 'vm-b']]);
    expect((await start({ 'vm-a': ['vm-x'] })).body['code']).toBe('migration.order_unknown');
    expect(await world.events()).toBe(before + 1); // the plan
  });
});

describe('a set that is paused', () => {
  test('begins nothing while what runs ends, and goes on when it is resumed', async () => {
    const id = await begin(vmIds);
    expect((await post(id, 'pause', { reason: 'lunch' })).status).toBe(202);
    await end(id, 0);
    await expectBegun(id, 'vm-a');
    await world.restart();
    expect((await post(id, 'resume')).status).toBe(202);
    expect((await post(id, 'resume')).status).toBe(202);
    await expectBegun(id, 'vm-a', 'vm-b');
    await end(id, 1);
    await end(id, 2);
    expect(await over(id)).toMatchObject({ state: 'succeeded' });
    expect((await post(id, 'pause')).body['code']).toBe('migration.ended');
    expect((await post('mig-none', 'pause')).body['code']).toBe('migration.unknown');
    expect((await world.call('POST', `/v1/migrations/${id}/pause`, {}, { tenant: 'other' })).body['code']).toBe('migration.unknown');
  });

  test('goes on by itself, or ends, when its time is up', async () => {
    const on = await begin(vmIds);
    await end(on, 0).then(() => undefined);
    await post(on, 'pause', { forMs: 1, then: 'resume' });
    await end(on, 1);
    await nth(on, 2);
    await end(on, 2);
    expect(await over(on)).toMatchObject({ state: 'succeeded' });
    const ends = await begin(vmIds);
    await post(ends, 'pause', { forMs: 700 });
    await end(ends, 0);
    expect(await over(ends)).toMatchObject({ state: 'cancelled', cause: { code: 'migration.pause_expired' }, counts: { notBegun: 2 } });
  });

  test('cancelled while nothing of it runs, it has ended by that', async () => {
    const id = await begin(vmIds);
    await post(id, 'pause');
    expect((await post(id, 'pause', { reason: 'another' })).body).toMatchObject({
      code: 'migration.paused',
      reason: 'asked to',
      then: 'cancel',
    });
    expect((await post(id, 'pause', { reason: 'another', replace: true })).status).toBe(202);
    await end(id, 0);
    expect((await post(id, 'cancel', { reason: 'enough' })).status).toBe(202);
    expect(await over(id)).toMatchObject({
      state: 'cancelled',
      cause: { code: 'migration.cancelled' },
      counts: { succeeded: 1, notBegun: 2 },
    });
  });
});

test('a set whose time is up begins nothing more, and ends with what it has', async () => {
  const id = await begin(vmIds, { deadlineMs: 1 });
  await world.until(async () => (await world.stream(`migration-${id}`)).find((e) => e.type.endsWith('cancel-requested.v1')));
  await end(id, 0);
  expect(await over(id)).toMatchObject({ cause: { code: 'migration.time_is_up' }, counts: { succeeded: 1, notBegun: 2 } });
});

test('a set is found by labels and by an expression when its plan is made, and the plan says by which', async () => {
  await world.tell('provisioning', 'vm-b', provisioningEvents.vmReconfigured, { vmId: 'vm-b', labels: { team: 'web' } } as never);
  await world.tell('provisioning', 'vm-c', provisioningEvents.vmReconfigured, {
    vmId: 'vm-c',
    labels: { team: 'web' },
    name: 'c',
  } as never);
  const plan = (select: object) => world.call('POST', '/v1/migration-plans', { option: 'small@1/move/pre-copy/expose', select });
  const found = await world.until(async () => {
    const made = await plan({ labels: { team: 'web' } });
    return (made.body['moves'] as unknown as object[] | undefined)?.length === 2 && made.body;
  });
  expect(found).toMatchObject({ select: { labels: { team: 'web' } }, moves: [{ vmId: 'vm-b' }, { vmId: 'vm-c' }] });
  expect((await plan({ labels: { team: 'web' }, filter: 'vm.name == "c"' })).body).toMatchObject({ moves: [{ vmId: 'vm-c' }] });
  expect((await plan({ filter: 'vm.labels.team == "web"' })).body).toMatchObject({ code: 'plan.filter_invalid', vmId: 'vm-a' });
  expect((await plan({ labels: { team: 'nobody' } })).body['code']).toBe('plan.nothing_selected');
  const other = { option: 'small@1/move/pre-copy/expose', select: { labels: { team: 'web' } } };
  expect((await world.call('POST', '/v1/migration-plans', other, { tenant: 'other' })).body['code']).toBe('plan.nothing_selected');
  expect((await world.call('POST', '/v1/migration-plans', { ...other, vmIds })).body['code']).toBe('request.invalid');
});

test('a set begins nothing before its window', async () => {
  const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString();
  const past = { windows: [{ from: inMs(-2_000), until: inMs(-1_000) }] };
  const plan = await world.call('POST', '/v1/migration-plans', { option: 'small@1/move/pre-copy/expose', vmIds });
  expect((await world.call('POST', '/v1/migrations', { planId: plan.body['planId'], policy: past })).body['code']).toBe(
    'migration.windows_past',
  );
  const from = inMs(1_500);
  const id = await begin(vmIds, { policy: { windows: [{ from, until: inMs(3_600_000) }] } });
  for (const n of [0, 1, 2]) await end(id, n);
  expect(await over(id)).toMatchObject({ state: 'succeeded' });
  const begun = (await world.stream(`migration-${id}`)).filter((e) => e.type.endsWith('move.started.v1'));
  expect(begun.every((e) => Date.parse(e.meta.at) >= Date.parse(from))).toBe(true);
});

describe('a set that has ended', () => {
  const plan = (body: object) => world.call('POST', '/v1/migration-plans', body);
  test('is begun again for those that it has not moved', async () => {
    const id = await begin(vmIds);
    expect((await plan({ retryOf: id })).body['code']).toBe('migration.running');
    await end(id, 0);
    await end(id, 1, 'undone');
    await over(id);
    const { body } = await plan({ retryOf: id });
    expect(body).toMatchObject({ of: { migrationId: id, as: 'retry' }, moves: [{ vmId: 'vm-b' }, { vmId: 'vm-c' }] });
    const again = await world.call('POST', '/v1/migrations', { planId: body['planId'], concurrency: 2 });
    const rest = again.body['migrationId'] as unknown as string;
    await end(rest, 0);
    await end(rest, 1);
    expect(await over(rest)).toMatchObject({ state: 'succeeded' });
    expect((await plan({ retryOf: rest })).body['code']).toBe('migration.nothing_left');
    expect((await plan({ undoOf: 'mig-none' })).body['code']).toBe('migration.unknown');
  });

  test('is taken back: those that it moved, the last one first, to where each was', async () => {
    const id = await begin(['vm-a', 'vm-b']);
    await end(id, 0);
    await end(id, 1);
    await over(id);
    for (const x of ['vm-a', 'vm-b'].map((vmId) => vm({ vmId })))
      await world.tell('provisioning', x.vmId, provisioningEvents.vmSwitchedOver, {
        ...{ vmId: x.vmId, moveId: 'mov-1', fromHost: 'h1', toHost: 'h2', epoch: 2, topology: x.topology, topologyHash: x.topologyHash },
      } as never);
    await world.until(
      async () =>
        (await world.service.service.pool.query(`select from migration_templates.known_vms where vm ->> 'hostId' = 'h2'`)).rowCount === 2,
    );
    const { body } = await plan({ undoOf: id });
    expect(body).toMatchObject({
      ready: true,
      of: { as: 'undo' },
      basis: { template: { name: 'relocate-small-1' } },
      moves: ['vm-b', 'vm-a'].map((vmId) => ({ vmId, fromHost: 'h2', toHost: 'h1' })),
    });
    await world.tell('provisioning', 'vm-a', provisioningEvents.vmDeleted, { vmId: 'vm-a' } as never);
    const without = await world.until(async () => {
      const found = await plan({ undoOf: id });
      return (found.body['moves'] as unknown as object[] | undefined)?.length === 1 && found; // asked as the VM goes, it is told as unknown
    });
    expect(without.body).toMatchObject({ ready: true, of: { as: 'undo', gone: ['vm-a'] }, moves: [{ vmId: 'vm-b' }] });
    const { body: ran } = await world.call('POST', '/v1/migrations', { planId: without.body['planId'] });
    await end(ran['migrationId'] as unknown as string, 0);
    expect(await over(ran['migrationId'] as unknown as string)).toMatchObject({ state: 'succeeded' });
    const x = vm({ vmId: 'vm-b' });
    await world.tell('provisioning', x.vmId, provisioningEvents.vmSwitchedOver, {
      ...{ vmId: x.vmId, moveId: 'mov-2', fromHost: 'h2', toHost: 'h1', epoch: 3, topology: x.topology, topologyHash: x.topologyHash },
    } as never);
    const again = await world.until(async () => {
      const found = await plan({ undoOf: id });
      return found.status === 409 && found;
    });
    expect(again.body).toMatchObject({ code: 'migration.nothing_left', done: ['vm-b'] });
  });

  test('is looked at with its plan: how it is to be run is checked there, and is what it is run by', async () => {
    const asked = { option: 'small@1/move/pre-copy/expose', vmIds: ['vm-x', 'vm-y'] };
    const wrong = { policy: { after: { 'vm-x': ['vm-y'], 'vm-y': ['vm-x'] } } };
    expect((await plan({ ...asked, run: wrong })).body['code']).toBe('migration.order_cyclic');
    expect((await plan({ ...asked, run: { policy: { canary: 0 } } })).body).toMatchObject({ code: 'request.invalid' });
    const { body } = await plan({ ...asked, run: { concurrency: 2, policy: { after: { 'vm-x': ['vm-y'] } } } });
    const { body: ran } = await world.call('POST', '/v1/migrations', { planId: body['planId'] });
    const id = ran['migrationId'] as unknown as string;
    await expectBegun(id, 'vm-y');
    await end(id, 0);
    await end(id, 1);
    expect(await over(id)).toMatchObject({ state: 'succeeded' });
  });
});
