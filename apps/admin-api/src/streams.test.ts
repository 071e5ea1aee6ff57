import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { LogLine, Migration, Operation, Problem } from '@chrysalis/api-client';
import { migrationTemplatesEvents, progressTopic, workflowEvents } from '@chrysalis/contracts';
import { busEvent, until } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { dataOf, example, history, projected, sse, startPlane, type Plane } from './test/plane.ts';

let plane: Plane;
const json = async <T = unknown>(path: string): Promise<T> => (await (await plane.get(path)).json()) as T;
type Story = { state: string; items: LogLine[] };

beforeAll(async () => {
  process.env['CHRYSALIS_LOG'] = 'silent';
  plane = await startPlane();
  await projected(plane);
});
afterAll(() => plane?.stop());

describe('operations', () => {
  const begin = (id: string): Promise<void> => {
    const { instanceStarted } = workflowEvents;
    return plane.append('workflow', `workflow-${id}`, instanceStarted.type, { ...dataOf(instanceStarted), workflowId: id, subject: id });
  };
  const end = (id: string): Promise<void> =>
    plane.append('workflow', `workflow-${id}`, 'chrysalis.workflow.instance.ended.v1', {
      ...example('chrysalis.workflow.instance.ended.v1').data,
      workflowId: id,
    });

  test('one that nobody has heard of yet is waited for; `wait` answers at its end', async () => {
    const id = `op-${uuidv7()}`;
    const early = plane.get(`/v1/operations/${id}`);
    await begin(id);
    expect(await (await early).json()).toMatchObject({ id, state: 'running', progress: { done: 0, total: 3 } });
    const waiting = plane.get(`/v1/operations/${id}?wait=20s`);
    const before = Date.now();
    await end(id);
    expect(await (await waiting).json()).toMatchObject({ state: 'undone', cause: { code: 'qemu.start_failed' } });
    expect(Date.now() - before).toBeLessThan(5_000);
  });

  test('`wait` answers what is there when the time is over', async () => {
    const id = `op-${uuidv7()}`;
    await begin(id);
    expect(await json(`/v1/operations/${id}?wait=300ms`)).toMatchObject({ state: 'running' });
  });

  test('its events end with it, and resume after the last one seen', async () => {
    const id = `op-${uuidv7()}`;
    await begin(id);
    const all = plane.get(`/v1/operations/${id}/events`).then((r) => sse(r));
    await end(id);
    const seen = await all;
    expect(seen.at(-1)).toMatchObject({ event: 'end', data: { state: 'undone' } });
    const own = seen.filter((e) => e.id);
    expect(own.map((e) => e.event)).toEqual(['chrysalis.workflow.instance.started.v1', 'chrysalis.workflow.instance.ended.v1']);
    const rest = await sse(await plane.get(`/v1/operations/${id}/events`, { 'last-event-id': own[0]!.id! }));
    expect(rest.filter((e) => e.id).map((e) => e.id)).toEqual([own[1]!.id]);
  });

  test("a migration's operation has the steps of its moves", async () => {
    const started = dataOf(migrationTemplatesEvents.moveStarted);
    await begin(started.request.workflowId);
    const shown = (): Promise<Operation> => json(`/v1/operations/${started.migrationId}`);
    await until(async () => ((await shown()).progress.unit === 'tasks' ? true : undefined));
    const operation = await shown();
    expect(operation).toMatchObject({ kind: 'migration', state: 'succeeded', progress: { total: 3 }, moves: { done: 1, total: 1 } });
    const migration = await json<Migration>(`/v1/migrations/${started.migrationId}`);
    expect(migration.moves).toMatchObject([
      {
        vmId: started.vmId,
        state: 'succeeded',
        figures: { downtimeMs: 38.2 },
        steps: [{ name: 'place' }, { name: 'boot' }, { name: 'record' }],
      },
    ]);
    const events = await sse(await plane.get(`/v1/operations/${started.migrationId}/events`));
    expect(new Set(events.filter((e) => e.id).map((e) => String(e.data['stream']).split('-')[0]))).toEqual(
      new Set(['migration', 'workflow']),
    );
  });
});

describe('a move that stops behind its point of no return', () => {
  const [migrationId, moveId, vmId] = ['mig', 'mov', 'vm'].map((p) => `${p}-${uuidv7()}`) as [string, string, string];
  const onMigration = (type: string, more: object): Promise<void> => {
    const full = `chrysalis.migration-templates.${type}.v1`;
    return plane.append('migration-templates', `migration-${migrationId}`, full, { ...example(full).data, migrationId, ...more });
  };
  const onMove = (type: string, more: object): Promise<void> => {
    const full = `chrysalis.workflow.${type}.v1`;
    const { cause: _, ...data } = example(full).data;
    return plane.append('workflow', `workflow-${moveId}`, full, { ...data, workflowId: moveId, ...more });
  };
  const cause = { code: 'guest.script_failed', message: 'announce ended with 3', detail: { stderr: 'no route to the balancer' } };
  const requested = () => structuredClone(dataOf(migrationTemplatesEvents.migrationRequested));
  const shown = <T extends object>(path: string, see: (body: T) => boolean): Promise<T> =>
    until(async () => {
      const body = await json<T>(path);
      return see(body) ? body : undefined;
    });

  test('says in migration, operation and VM where it stands, and what takes it on', async () => {
    const { plan } = requested();
    plan.moves[0]!.vmId = vmId;
    await plane.append('provisioning', vmId, 'chrysalis.provisioning.vm.requested.v1', { ...example('chrysalis.provisioning.vm.requested.v1').data, vmId, name: 'tide' }); // prettier-ignore
    await plane.append('provisioning', vmId, 'chrysalis.provisioning.vm.move-begun.v1', { ...example('chrysalis.provisioning.vm.move-begun.v1').data, vmId, moveId }); // prettier-ignore
    await onMigration('migration.requested', { plan });
    const { request } = dataOf(migrationTemplatesEvents.moveStarted);
    await onMigration('move.started', { moveId, vmId, request: { ...request, workflowId: moveId } });
    await onMove('instance.started', { subject: moveId });
    await onMove('task.dispatched', { task: 'boot', executor: 'host:h2', attempt: 1 });
    await onMove('task.succeeded', { task: 'boot', output: { exitCode: 0, stdout: 'quiesced', stderr: '' } });
    await onMove('task.failed', { task: 'record', attempt: 1, executor: 'group:agent-gateway', cause, final: true });
    await onMove('instance.ended', { subject: moveId, state: 'stopped', cause, missing: ['record'], failed: ['record'] });
    await onMigration('move.ended', { moveId, vmId, state: 'failed', cause, figures: undefined });
    await onMigration('migration.ended', { state: 'failed', cause });
    const next = [`chrysalis workflow retry-from ${moveId} record --reason "what kept it is mended"`];
    const standing = { summary: 'past its point of no return, so what was done stays; not done: record', left: ['record'], next };
    const operation = await shown<Operation>(`/v1/operations/${migrationId}`, (o) => o.state === 'failed' && o.standing !== undefined);
    expect(operation).toMatchObject({ cause, standing });
    expect(await json(`/v1/operations/${moveId}`)).toMatchObject({ state: 'stopped', standing });
    expect(await json(`/v1/migrations/${migrationId}`)).toMatchObject({ state: 'failed', moves: [{ state: 'failed', standing }] });
    const vm = await plane.get(`/v1/vms/${vmId}`);
    expect(await vm.json()).toMatchObject({ state: 'moving', move: { moveId, migrationId, state: 'failed', standing } });
    expect(vm.headers.get('etag')).not.toBe('"2"');
  });

  test('has a story: one, in the order of time, with what was said; of a VM by its name, of a move by its id', async () => {
    const { state, items } = await json<Story>(`/v1/migrations/${migrationId}/logs`);
    expect(state).toBe('failed');
    const short = items.map((l) => `${l.step ?? '-'} ${l.message.split(/[:,]/)[0]}`);
    expect(short).toEqual([
      `- ${vmId} is locked for the move h1 -> h2`,
      '- migration of 1 VM by to-large@1',
      `- the move of ${vmId} begins`,
      'boot start',
      'boot done in 1000 ms',
      'record failed',
      '- its workflow ended stopped',
      '- the move ended failed',
      '- the migration ended failed',
    ]);
    expect(items.find((l) => l.step === 'boot' && l.said)).toMatchObject({ vmId, said: { stdout: 'quiesced' }, section: 'prepare' });
    expect(items.find((l) => l.level === 'error')).toMatchObject({ step: 'record', cause, said: cause.detail });
    expect((await json<Story>(`/v1/migrations/${moveId}/logs?vm=tide`)).items).toEqual(items);
    expect(await json(`/v1/migrations/${migrationId}/logs?vm=nobody`)).toMatchObject({ code: 'vm.unknown' });
    expect(await json(`/v1/migrations/${migrationId}/logs?follow=perhaps`)).toMatchObject({ code: 'request.invalid' });
    const other = await plane.token(['viewer'], 'other');
    const denied = await fetch(`${plane.url}/v1/migrations/${migrationId}/logs`, { headers: { authorization: `Bearer ${other}` } });
    expect([denied.status, ((await denied.json()) as Problem).code]).toEqual([404, 'migration.unknown']);
  });

  test('goes on when it is repaired; its story is followed to the end', async () => {
    const change = { type: 'retry-from', task: 'record' };
    await onMove('instance.changed', { change, actor: 'user:anna', reason: 'mended', effect: undefined });
    await onMigration('move.resumed', { moveId, vmId });
    expect(await shown<Operation>(`/v1/operations/${migrationId}`, (o) => o.state === 'running')).not.toHaveProperty('cause');
    expect(await json(`/v1/operations/${migrationId}`)).not.toHaveProperty('standing');
    const following = plane.get(`/v1/migrations/${migrationId}/logs?follow=true`).then((r) => sse(r));
    await onMove('task.succeeded', { task: 'record', output: {} });
    await onMove('instance.ended', { subject: moveId, state: 'succeeded', output: {} });
    // As in life: a migration ends by what its workflows' ends said. Of two that come at once the story may end with the first.
    const ofMove = 'its workflow ended succeeded';
    await shown<Story>(`/v1/migrations/${migrationId}/logs`, ({ items }) => items.some((l) => l.message === ofMove));
    await onMigration('move.ended', { moveId, vmId, state: 'succeeded' });
    await onMigration('migration.ended', { state: 'succeeded', cause: undefined });
    const seen = await following;
    expect(seen.at(-1)).toMatchObject({ event: 'end', data: { state: 'succeeded' } });
    // What comes while it is followed comes as it arrives: streams beside each other.
    const told = seen.filter((e) => e.event === 'log').map((e) => e.data['message'] as string);
    expect(told.slice(-6).sort()).toEqual([
      'done in 1000 ms',
      'its workflow ended succeeded',
      'the migration ended succeeded',
      'the move ended succeeded',
      'the move goes on, by user:anna: the guest is back',
      'user:anna: retry-from record: mended',
    ]);
    expect(await json(`/v1/migrations/${migrationId}`)).toMatchObject({ state: 'succeeded', moves: [{ state: 'succeeded' }] });
    const last = seen.findLast((e) => e.id)!.id!;
    const rest = await sse(await plane.get(`/v1/migrations/${migrationId}/logs?follow=true`, { 'last-event-id': last }));
    expect(rest.map((e) => e.event)).toEqual(['end']);
  });
});

describe('streams', () => {
  test('all events from the start, without a gap, then live', async () => {
    const first = await sse(await plane.get('/v1/events?from=start'), history.length);
    const positions = first.map((e) => Number(e.id));
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    const begun = Promise.withResolvers<void>();
    const live = plane.get('/v1/events?type=chrysalis.resource-allocation.').then((r) => sse(r, 1, begun.resolve));
    await begun.promise;
    await plane.append('resource-allocation', 'host-h1', 'chrysalis.resource-allocation.host.state-changed.v1', {
      hostId: 'h1',
      from: 'cordoned',
      to: 'enabled',
      reason: 'back',
    });
    expect(await live).toMatchObject([
      { event: 'chrysalis.resource-allocation.host.state-changed.v1', data: { stream: 'host-h1', data: { to: 'enabled' } } },
    ]);
  });

  test('end with the token that they were opened with', async () => {
    const authorization = `Bearer ${await plane.token(['viewer'], 'acme', '2s')}`;
    const streams = await Promise.all(['/v1/events', '/v1/progress'].map((path) => plane.get(path, { authorization })));
    expect(streams.map((s) => s.status)).toEqual([200, 200]);
    await Promise.all(streams.map((s) => sse(s)));
    expect((await plane.get('/v1/events', { authorization })).status).toBe(401);
  });

  test('a viewer that stops reading is sent fewer samples, and none is kept for it', async () => {
    const { bus } = plane.services.get('provisioning')!.service;
    const dropped = async (): Promise<number> =>
      Number(/^chrysalis_progress_dropped_total\S* (\d+)/m.exec(await (await plane.get('/metrics')).text())?.[1] ?? 0);
    const deaf = connect(Number(new URL(plane.url).port), '127.0.0.1');
    deaf.pause().write(`GET /v1/progress HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${await plane.token(['viewer'])}\r\n\r\n`);
    const sample = () => {
      const frame = { type: 'progress', vmId: 'vm-deaf', moveId: 'mov-deaf', phase: 'x'.repeat(200_000) };
      return { topic: progressTopic, event: busEvent('mov-deaf', 'chrysalis.agent-gateway.progress', frame, { tenant: 'acme' }) };
    };
    await until(async () => {
      await bus.publish(Array.from({ length: 10 }, sample));
      return (await dropped()) > 0;
    });
    deaf.destroy();
  });

  test('progress passes through', async () => {
    const frame = {
      type: 'progress',
      vmId: 'vm-1',
      moveId: 'mov-1',
      phase: 'active',
      bytesTotal: 10,
      bytesRemaining: 5,
      bytesTransferred: 5,
      dirtyPagesPerSecond: 1,
      mbps: 8,
      at: new Date().toISOString(),
    };
    const { bus } = plane.services.get('provisioning')!.service;
    const event = busEvent('mov-1', 'chrysalis.agent-gateway.progress', frame, { tenant: 'acme' });
    const hearing = await plane.get('/v1/progress?vm=vm-1');
    await bus.publish([{ topic: progressTopic, event }]); // the newest of each is told to who comes later, too
    expect(await sse(hearing, 1)).toMatchObject([{ event: 'progress', data: { moveId: 'mov-1', bytesRemaining: 5 } }]);
  });
});
