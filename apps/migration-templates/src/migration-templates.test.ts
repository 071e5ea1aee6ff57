import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  agentGatewayEvents,
  provisioningEvents,
  WorkflowDefinition,
  type MigrationOption,
  type Plan,
  type WorkflowRequest,
} from '@chrysalis/contracts';
import { facts, found, largeType, smallType, vm } from '@chrysalis/migration-templates-core/testing';
import { openWorld, type World } from './test/world.ts';

let world: World;
const a = vm({ vmId: 'vm-a' });
const b = vm({ vmId: 'vm-b' });
const theirs = vm({ vmId: 'vm-z', tenant: 'other' });

beforeAll(async () => {
  world = await openWorld();
  await world.type(smallType);
  await world.type(largeType);
  await world.host(facts('h1'));
  await world.host(facts('h2'));
  for (const x of [a, b, theirs]) await world.vm(x);
});
afterAll(() => world.close());

const script = { kind: 'guest-script', name: 'quiesce', script: 'echo ${HOME}', undo: 'echo back', timeoutMs: 5000 };
const ids = ({ options }: { options: readonly MigrationOption[] }): string[] => options.map((o) => o.id);
const optionId = 'large@1/move/pre-copy/expose';

const ask = async (vmIds: string[], grantId?: string) => {
  const asked = await world.call('POST', '/v1/migration-options-queries', { vmIds, ...(grantId ? { grantId } : {}) });
  return { asked, queryId: asked.body['queryId'] as unknown as string };
};
const query = (queryId: string) => world.reads.query(queryId);

const growSpec = async (): Promise<object> => (await world.reads.templates()).find((t) => t.ref.startsWith('grow@'))!.spec;

/** With a grant, and the agents of the guests answering as told. */
const authorised = async (vmIds: string[]): Promise<string> => {
  const grantId = `grant-${vmIds.join('-')}-${Math.random()}`;
  await world.grant(grantId, vmIds);
  const { queryId } = await ask(vmIds, grantId);
  for (const [i, vmId] of vmIds.entries())
    expect(
      await world.dispatch(queryId, `record-${i}`, 'template.record-characterisation', { vmId, characterisation: found(vmId) }),
    ).toMatchObject({ ok: true });
  expect(await world.dispatch(queryId, 'answer-options', 'template.answer-options', { queryId })).toMatchObject({ ok: true });
  return queryId;
};
const planFor = async (template: string, vmIds: string[]) => world.call('POST', '/v1/migration-plans', { template, vmIds });
const requestOf = async (migrationId: string, n = 0): Promise<WorkflowRequest> => {
  const started = (await world.stream(`migration-${migrationId}`)).filter((e) => e.type.endsWith('move.started.v1'));
  return (started[n]!.data as { request: WorkflowRequest }).request;
};

describe('options', () => {
  test('without a grant: at once, and only what touches no guest', async () => {
    const { asked, queryId } = await ask(['vm-a']);
    expect(asked.status).toBe(202);
    const answer = await query(queryId);
    expect(answer).toMatchObject({ state: 'answered', source: 'failsafe' });
    expect(ids(answer)).toEqual(['small@1/move/pre-copy/expose']);
    expect((await world.stream(`options-query-${queryId}`)).map((e) => e.type.split('.').slice(2).join('.'))).toEqual([
      'options.queried.v1',
      'options.answered.v1',
    ]);
  });
  test('with a grant: a workflow adds the agents, and the list grows', async () => {
    const queryId = await authorised(['vm-a']);
    const [queried] = await world.stream(`options-query-${queryId}`);
    const { request } = queried!.data as { request: WorkflowRequest };
    expect(WorkflowDefinition.parse(request.definition).tasks.map((t) => t.kind)).toEqual([
      'host.add-agent',
      'vm.record-topology',
      'guest.characterise',
      'template.record-characterisation',
      'template.answer-options',
    ]);
    expect(request.definition.tasks[0]!.input).toMatchObject({
      vmId: 'vm-a',
      epoch: 1,
      grant: 'a.signed.grant',
      package: `sha256:${'b'.repeat(64)}`,
    });
    const failsafe = ids(await query((await ask(['vm-a'])).queryId));
    const all = ids(await query(queryId));
    expect(all).toContain(optionId);
    expect(failsafe.every((id) => all.includes(id))).toBe(true);
  });
  test.each([
    ['unknown', 'grant-none', 422, 'grant.unknown', undefined],
    ['expired', 'grant-old', 403, 'grant.expired', { exp: 1_000 }],
    ['for another VM', 'grant-foreign', 403, 'grant.vm_not_named', {}],
    ["another tenant's", 'grant-theirs', 422, 'grant.unknown', { tenant: 'other' }],
  ])('a grant that is %s is refused and changes nothing', async (_, grantId, status, code, grant) => {
    if (grant) await world.grant(grantId, grantId === 'grant-foreign' ? ['vm-b'] : ['vm-a'], grant);
    await world.until(
      async () =>
        grant === undefined ||
        (await world.service.service.pool.query('select 1 from migration_templates.known_grants where grant_id = $1', [grantId]))
          .rowCount === 1,
    );
    const before = await world.events();
    const { asked } = await ask(['vm-a'], grantId);
    expect([asked.status, asked.body['code']]).toEqual([status, code]);
    expect(await world.events()).toBe(before);
  });
  test('what another tenant has is unknown', async () => {
    expect((await ask(['vm-z'])).asked.body).toMatchObject({ code: 'vm.unknown', vmIds: ['vm-z'] });
  });
  test('a query whose workflow fails says why', async () => {
    await world.grant('grant-f', ['vm-b']);
    const { queryId } = await ask(['vm-b'], 'grant-f');
    const { request } = (await world.stream(`options-query-${queryId}`))[0]!.data as { request: WorkflowRequest };
    await world.ran(request, { state: 'undone', failing: 'characterise', cause: { code: 'guest.silent', message: 'no answer' } });
    const failed = await world.until(async () => (await query(queryId)).state === 'failed' && query(queryId));
    expect(failed).toMatchObject({ cause: { code: 'guest.silent' } });
  });
});

describe('templates', () => {
  test("from an option, with its author's scripts; the same again is the same version", async () => {
    const queryId = await authorised(['vm-a']);
    const body = {
      name: 'grow',
      fromOption: { queryId, optionId },
      preMigration: [script],
      postMigration: [{ ...script, name: 'announce' }],
    };
    const made = await world.call('POST', '/v1/migration-templates', body);
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ name: 'grow', version: 1, ref: 'grow@1' });
    expect((await world.call('POST', '/v1/migration-templates', body)).body).toMatchObject({ version: 1 });
    expect(await world.reads.templates()).toEqual([{ ref: 'grow@1', spec: made.body['spec'], retired: false }]);
  });
  test('20 who publish one name at once have a version each, in turn', async () => {
    const spec = await growSpec();
    const published = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        world.call('POST', '/v1/migration-templates', {
          name: 'wanted',
          spec: { ...spec, preMigration: [{ ...script, name: `step-${i}` }] },
        }),
      ),
    );
    expect(published.map((a) => a.status)).toEqual(Array.from({ length: 20 }, () => 201));
    const versions = published.map((a) => a.body['version'] as unknown as number);
    expect(versions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });
  test('every fault at once', async () => {
    const spec = await growSpec();
    const bad = {
      ...spec,
      hotUnplug: [
        { kind: 'unplug-nic', name: 'x', nic: 'nowhere' },
        { kind: 'plug-cpus', name: 'transfer', vcpus: 2 },
      ],
      hotPlug: [],
    };
    const refused = await world.call('POST', '/v1/migration-templates', { name: 'bad', spec: bad });
    expect([refused.status, refused.body['code']]).toEqual([422, 'template.invalid']);
    const codes = (refused.body['faults'] as unknown as { code: string }[]).map((f) => f.code);
    for (const code of [
      'template.nic_unknown',
      'template.wrong_section',
      'template.name_reserved',
      'template.step_missing',
      'template.device_left',
      'template.result_differs',
    ])
      expect(codes).toContain(code);
  });
  test('an option that was refused is no template, and says why', async () => {
    const { queryId } = await ask(['vm-a']);
    const refused = await world.call('POST', '/v1/migration-templates', { name: 'no', fromOption: { queryId, optionId } });
    expect(refused).toMatchObject({ status: 409, body: { code: 'option.refused' } });
    expect((refused.body['blockers'] as unknown as { code: string }[])[0]!.code).toBe('option.capability_unknown');
  });
  test('malformed bodies are refused with every fault', async () => {
    expect(await world.call('POST', '/v1/migration-templates', { name: 'X Y' })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid' },
    });
  });
});

describe('plans and migrations', () => {
  const made = async (vmIds: string[]): Promise<Plan> => (await planFor('grow@1', vmIds)).body as unknown as Plan;
  const run = (planId: string, more: object = {}, key?: string) =>
    world.call('POST', '/v1/migrations', { planId, ...more }, key ? { key } : {});
  const migration = (id: string) => world.reads.migration(id);
  const ended = (id: string) => world.until(async () => (await migration(id)).state !== 'running' && migration(id));
  const idOf = (told: { body: Record<string, unknown> }) => told.body['migrationId'] as string;
  const nextVersion = (vmId: string) =>
    world.tell('provisioning', vmId, provisioningEvents.vmMoveEnded, { vmId, moveId: 'mov-x', outcome: 'succeeded' });

  test('a plan shows every step and holds nothing back', async () => {
    const plan = await made(['vm-a']);
    expect(plan.moves[0]).toMatchObject({ vmId: 'vm-a', fromHost: 'h1', toHost: 'h2', blockers: [] });
    expect(plan.moves[0]!.steps.map((s) => s.name)).toContain('transfer');
    expect(plan.basis).toEqual({ template: { name: 'grow', version: 1 }, vmVersions: { 'vm-a': 3 }, hostGenerations: { h1: 1, h2: 1 } });
    const other = await made(['vm-b']);
    expect(other.moves[0]!.blockers.map((x) => x.code)).toContain('option.capability_unknown');
    expect(await run(other.planId)).toMatchObject({ status: 409, body: { code: 'plan.blocked' } });
  });

  test('a host whose agent is away takes nothing, also by a plan that was ready before', async () => {
    const codes = async (): Promise<string[]> => (await made(['vm-a'])).moves[0]!.blockers.map((x) => x.code);
    const lost = (hostId: string) =>
      world.tell('agent-gateway', `host-agent-${hostId}`, agentGatewayEvents.hostAgentLost, { hostId, sessionId: 's', reason: 'cut' });
    const back = (hostId: string) =>
      world.tell('agent-gateway', `host-agent-${hostId}`, agentGatewayEvents.hostAgentEnrolled, {
        hostId,
        sessionId: 's',
        agentVersion: '1',
        facts: facts(hostId),
      });
    for (const hostId of ['h1', 'h2']) {
      const ready = await made(['vm-a']);
      expect(ready.moves[0]!.blockers).toEqual([]);
      await lost(hostId);
      await world.until(async () => (await codes()).includes('host.agent_away'));
      expect(await run(ready.planId)).toMatchObject({
        status: 409,
        body: { code: 'plan.blocked', blockers: [{ code: 'host.agent_away' }] },
      });
      await back(hostId);
      await world.until(async () => (await codes()).length === 0);
    }
  });

  test('a VM that its host sees off is blocked in options and plans, and a plan that was ready before does not run', async () => {
    const ready = await made(['vm-a']);
    const see = (state: 'shut-down' | 'running' | 'gone', hostId = 'h1', epoch = 1) =>
      world.tell('agent-gateway', 'observed-vm-a', agentGatewayEvents.vmObserved, {
        vmId: 'vm-a',
        hostId,
        epoch,
        observed: { state, since: '2026-01-01T00:00:00.000Z', resets: 0, changes: 1 },
      });
    const codes = async (): Promise<string[]> => (await made(['vm-a'])).moves[0]!.blockers.map((x) => x.code);
    await see('shut-down');
    await world.until(async () => (await codes()).includes('vm.shut_down'));
    const { queryId } = await ask(['vm-a']);
    const { refused, options } = await query(queryId);
    expect(refused.every((r) => r.blockers.some((x) => x.code === 'vm.shut_down' && x.remedy))).toBe(true);
    expect(options).toEqual([]);
    expect(await run(ready.planId)).toMatchObject({
      status: 409,
      body: { code: 'plan.blocked', blockers: [{ vmId: 'vm-a', code: 'vm.shut_down' }] },
    });
    // Of a host that does not have it, and of an epoch that is over, nobody takes a word.
    await see('gone', 'h2', 7);
    await world.until(async () => (await codes()).length === 0);
    await see('running');
    await world.until(async () => (await codes()).length === 0);
  });

  test('a move, told by its workflow, ends with its figures and steps', async () => {
    const plan = await made(['vm-a']);
    const asked = await run(plan.planId, {}, 'key-1');
    expect(asked.status).toBe(202);
    const id = idOf(asked);
    expect((await run(plan.planId, {}, 'key-1')).body).toEqual(asked.body);
    expect(await run(plan.planId)).toMatchObject({ status: 409, body: { code: 'vm.in_move' } });
    const request = await requestOf(id);
    expect(request.definition.tasks.find((t) => t.name === 'begin-move')!.input).toMatchObject({ expectedVersion: 3, toHost: 'h2' });
    await world.ran(request, { state: 'succeeded', output: { downtimeMs: 86, totalMs: 900, transferredBytes: 1234 } });
    const { state, moves } = await ended(id);
    expect(state).toBe('succeeded');
    const [move] = moves;
    // 2 s in all, in which hosts and guests were at work from 0.5 to 1.5 s
    expect(move).toMatchObject({
      state: 'succeeded',
      figures: { downtimeMs: 86, totalMs: 900, transferredBytes: 1234, controlPlaneMs: 1000 },
    });
    expect(move!.steps.length).toBe(request.definition.tasks.length);
    expect(move!.steps.every((s) => s.state === 'done' && s.ms === 1000)).toBe(true);
  });

  test('what changed since the plan is listed, and nothing begins', async () => {
    const plan = await made(['vm-a']);
    const version = await nextVersion('vm-a');
    await world.until(async () => (await made(['vm-a'])).basis.vmVersions['vm-a'] === version);
    const before = await world.events();
    const refused = await run(plan.planId);
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'plan.outdated', changed: [{ what: 'vm-a', planned: version - 1, now: version }] },
    });
    expect(await world.events()).toBe(before);
  });

  test('a move that is undone leaves the rest where they are, and names the cause', async () => {
    await authorised(['vm-b']);
    const plan = await made(['vm-a', 'vm-b']);
    const id = idOf(await run(plan.planId));
    const cause = { code: 'guest.refused', message: 'the NIC is in use' };
    await world.ran(await requestOf(id), { state: 'undone', failing: 'unplug-extra', cause });
    const seen = await ended(id);
    expect(seen).toMatchObject({ state: 'undone', cause, waiting: ['vm-b'], moves: [{ vmId: 'vm-a', state: 'undone', cause }] });
    const steps = new Map(seen.moves[0]!.steps.map((s) => [s.name, s.state]));
    expect([
      steps.get('hold-target'),
      steps.get('quiesce'),
      steps.get('unplug-extra'),
      steps.get('transfer'),
      steps.get('preflight-source'),
    ]).toEqual(['undone', 'undone', 'failed', 'skipped', 'done']);
  });

  test('one after another: the next begins when one has ended, also told twice and after a restart', async () => {
    const plan = await made(['vm-a', 'vm-b']);
    const id = idOf(await run(plan.planId));
    const first = await requestOf(id);
    await world.restart();
    await world.ran(first, { state: 'succeeded' });
    await world.until(async () => (await world.stream(`migration-${id}`)).length === 4);
    await world.ran(first, { state: 'succeeded' });
    await world.ran(await requestOf(id, 1), { state: 'succeeded' });
    await world.until(async () => (await migration(id)).state === 'succeeded');
    expect((await world.stream(`migration-${id}`)).map((e) => e.type.split('.').slice(2, 4).join('.'))).toEqual([
      'migration.requested', 'move.started', 'move.ended', 'move.started', 'move.ended', 'migration.ended',
    ]); // prettier-ignore
  });

  test('cancelled: no further move begins, and what runs is asked to stop', async () => {
    const plan = await made(['vm-a', 'vm-b']);
    const id = idOf(await run(plan.planId));
    expect((await world.call('POST', `/v1/migrations/${id}/cancel`, { reason: 'window closed' })).status).toBe(202);
    const request = await requestOf(id);
    expect((await world.stream(`migration-${id}`)).at(-1)!.data).toMatchObject({
      cancel: { workflowIds: [request.workflowId], reason: 'window closed' },
    });
    await world.ran(request, { state: 'succeeded' });
    const seen = await ended(id);
    expect(seen).toMatchObject({ state: 'cancelled', waiting: ['vm-b'], cancelled: 'window closed' });
    expect(await world.call('POST', `/v1/migrations/${id}/cancel`, {})).toMatchObject({ status: 409, body: { code: 'migration.ended' } });
  });

  test('a newer version of the template outdates a plan; a retired one takes no more', async () => {
    const plan = await made(['vm-a']);
    const spec = (await growSpec()) as { options: object };
    await world.call('POST', '/v1/migration-templates', {
      name: 'grow',
      spec: { ...spec, options: { ...spec.options, downtimeLimitMs: 200 } },
    });
    expect(await run(plan.planId)).toMatchObject({
      status: 409,
      body: { code: 'plan.outdated', changed: [{ what: 'template grow', planned: 1, now: 2 }] },
    });
    await world.call('POST', '/v1/migration-templates/grow/retire');
    expect((await made(['vm-a'])).moves[0]!.blockers.map((x) => x.code)).toContain('template.retired');
    expect(
      await world.call('POST', '/v1/migration-templates', {
        name: 'grow',
        spec: { ...spec, options: { ...spec.options, downtimeLimitMs: 201 } },
      }),
    ).toMatchObject({ status: 409, body: { code: 'template.retired' } });
  });
});

describe('the editor of templates', () => {
  const at = '/v1/migration-templates';
  const call = async (method: string, path: string, body?: unknown, more?: { tenant?: string }) => {
    const { status, body: answer } = await world.call(method, `${at}${path}`, body, more);
    return { status, body: answer as Record<string, unknown> };
  };
  const slower = (spec: object, downtimeLimitMs: number) => ({
    ...spec,
    options: { ...(spec as { options: object }).options, downtimeLimitMs },
  });
  let spec: object;
  beforeAll(async () => {
    spec = await growSpec();
    expect(await call('POST', '', { name: 'edited', spec })).toMatchObject({ status: 201, body: { version: 1 } });
  });

  test('what an update says is the newest version, and not where somebody was faster', async () => {
    expect(await call('PUT', '/edited', { spec: slower(spec, 300) })).toMatchObject({ status: 200, body: { version: 2 } });
    expect(await call('PUT', '/edited', { spec: slower(spec, 300) })).toMatchObject({ status: 200, body: { version: 2 } });
    expect(await call('PUT', '/edited', { spec })).toMatchObject({ status: 200, body: { version: 3 } });
    expect((await call('GET', '/edited/versions')).body['items']).toMatchObject([{ version: 3 }, { version: 2 }, { ref: 'edited@1' }]);
    const late = await world.call('PUT', `${at}/edited`, { spec: slower(spec, 400) }, { ifMatch: '"1"' });
    expect([late.status, late.body['code']]).toEqual([412, 'stream.version_mismatch']);
    expect(await call('PUT', '/nobody', { spec })).toMatchObject({ status: 404, body: { code: 'template.unknown' } });
    expect(await call('PUT', '/edited', { spec }, { tenant: 'other' })).toMatchObject({ status: 404 });
  });
  test('what leads from one version to another', async () => {
    expect(await call('GET', '/edited/1/diff?with=2')).toMatchObject({
      status: 200,
      body: { from: 1, to: 2, same: false, steps: [], options: [{ path: 'options.downtimeLimitMs', to: 300 }] },
    });
    expect((await call('GET', '/edited/1/diff?with=3')).body).toMatchObject({ same: true });
    expect(await call('GET', '/edited/1/diff?with=9')).toMatchObject({
      status: 404,
      body: { code: 'template.unknown', template: 'edited@9' },
    });
  });
  test.each(['yaml', 'json'])('an export as %s is the same version again, and elsewhere a template of its own', async (format) => {
    const { body } = await call('GET', `/edited/2/export?format=${format}`);
    expect(body).toMatchObject({ name: 'edited', version: 2, format });
    const { document } = body as { document: string };
    expect(await call('POST', '/import', { document })).toMatchObject({ status: 201, body: { ref: 'edited@2' } });
    expect(await call('POST', '/import', { document, name: `copy-${format}` })).toMatchObject({ body: { ref: `copy-${format}@1` } });
    expect(await call('POST', '/import', { document }, { tenant: 'other' })).toMatchObject({
      status: 409,
      body: { code: 'template.name_taken' },
    });
  });
  test('a document with an alias, with faults, or too long', async () => {
    expect(await call('POST', '/import', { document: 'a: &a 1\nb: *a' })).toMatchObject({
      status: 422,
      body: { code: 'template.document_invalid' },
    });
    expect(await call('POST', '/import', { document: 'a: 1' })).toMatchObject({ status: 422, body: { code: 'template.invalid' } });
    expect(await call('POST', '/import', { document: '#'.repeat(300_000) })).toMatchObject({
      status: 422,
      body: { code: 'request.invalid' },
    });
  });
  test('a clone has a name that there was not yet', async () => {
    expect(await call('POST', '/edited/clone', { as: 'cloned', version: 2 })).toMatchObject({ status: 201, body: { ref: 'cloned@1' } });
    expect(await call('POST', '/edited/clone', { as: 'cloned' })).toMatchObject({ status: 409, body: { code: 'template.name_taken' } });
    expect(await call('POST', '/edited/clone', { as: 'their', version: 2 }, { tenant: 'other' })).toMatchObject({ status: 404 });
    expect(await call('POST', '/edited/clone', { as: 'cloned-2', version: 7 })).toMatchObject({ status: 404 });
  });
  test('validation keeps nothing, and says everything', async () => {
    const before = await world.events();
    expect(await call('POST', '/validate', { spec })).toMatchObject({ status: 200, body: { valid: true, findings: [], morph: false } });
    const bad = { ...spec, notes: '', preMigration: [{ kind: 'dance' }], sourceType: { name: 'nobody', version: 1 } };
    const { body } = await call('POST', '/validate', { spec: bad });
    expect(body).toMatchObject({ valid: false });
    const places = (body['findings'] as { path: string; code: string }[]).map((f) => `${f.path} ${f.code}`);
    expect(places).toEqual(expect.arrayContaining(['preMigration.0.kind template.member_invalid', 'sourceType vm-type.unknown']));
    expect((await call('POST', '/validate', { spec: null })).body).toMatchObject({ valid: false });
    expect(await call('POST', '/validate', {})).toMatchObject({ status: 422, body: { code: 'request.invalid' } });
    expect(await world.events()).toBe(before);
  });
  test('a trial is the plan that there would be, and leaves neither template nor plan', async () => {
    const before = await world.events();
    const tried = await call('POST', '/try', { spec, vmIds: ['vm-a', 'vm-b'] });
    expect(tried.status).toBe(200);
    const [plan] = [(await planFor('edited', ['vm-a', 'vm-b'])).body as unknown as Plan];
    expect(tried.body['moves']).toEqual(plan!.moves);
    expect(tried.body['ready']).toBe(plan!.moves.every((m) => m.blockers.length === 0));
    expect(await call('POST', '/try', { spec: { ...spec, hotPlug: [] }, vmIds: ['vm-a'] })).toMatchObject({
      status: 422,
      body: { code: 'template.invalid' },
    });
    expect(await call('POST', '/try', { spec, vmIds: ['vm-z'] })).toMatchObject({ status: 422, body: { code: 'vm.unknown' } });
    expect(await world.events()).toBe(before + 1); // the plan that was made to compare with
  });
  test('deleted while no migration goes by it; its name and the numbers of its versions stay', async () => {
    const { planId } = (await planFor('cloned', ['vm-a'])).body as unknown as Plan;
    const started = await world.call('POST', '/v1/migrations', { planId });
    expect(started.status).toBe(202);
    const migrationId = started.body['migrationId'] as unknown as string;
    expect(await call('DELETE', '/cloned')).toMatchObject({ status: 409, body: { code: 'template.in_use', usedBy: [migrationId] } });
    expect(await call('DELETE', '/cloned', undefined, { tenant: 'other' })).toMatchObject({ status: 404 });
    await world.ran(await requestOf(migrationId), { state: 'undone', failing: 'prepare-target', cause: { code: 'x.y', message: 'z' } });
    await world.until(async () => (await world.reads.migration(migrationId)).state !== 'running');
    const later = (await planFor('cloned', ['vm-a'])).body as unknown as Plan;
    expect(await call('DELETE', '/cloned?dryRun=true')).toMatchObject({ status: 200, body: { dryRun: true } });
    expect(await call('DELETE', '/cloned')).toMatchObject({ status: 200, body: { deleted: true } });
    expect(await call('DELETE', '/cloned')).toMatchObject({ status: 404, body: { code: 'template.unknown' } });
    expect((await planFor('cloned', ['vm-a'])).status).toBe(422);
    expect(await world.call('POST', '/v1/migrations', { planId: later.planId })).toMatchObject({
      status: 409,
      body: { code: 'plan.outdated', changed: [{ what: 'template cloned', now: 'deleted' }] },
    });
    expect(await call('POST', '', { name: 'cloned', spec }, { tenant: 'other' })).toMatchObject({
      status: 409,
      body: { code: 'template.name_taken' },
    });
    expect(await call('POST', '', { name: 'cloned', spec })).toMatchObject({ status: 201, body: { ref: 'cloned@2' } });
  });
  test('one that begins a migration and one that deletes its template at once: one of them is refused', async () => {
    for (let i = 0; i < 6; i++) {
      await call('POST', '', { name: `race-${i}`, spec });
      const { planId } = (await planFor(`race-${i}`, ['vm-a'])).body as unknown as Plan;
      const [begun, gone] = await Promise.all([world.call('POST', '/v1/migrations', { planId }), call('DELETE', `/race-${i}`)]);
      expect([begun.status, gone.status].sort()).toEqual(begun.status === 202 ? [202, 409] : [200, 409]);
      if (begun.status !== 202) continue;
      const id = begun.body['migrationId'] as unknown as string;
      await world.ran(await requestOf(id), { state: 'undone', failing: 'prepare-target', cause: { code: 'x.y', message: 'z' } });
      await world.until(async () => (await world.reads.migration(id)).state !== 'running');
    }
  });
});

test('blockers of the preflights fail a move with their code', async () => {
  const blocker = { code: 'host.topology_mismatch', message: 'not the same', subject: 'vm-a' };
  expect(
    await world.dispatch('mov-1', 'check-blockers', 'template.check-blockers', {
      vmId: 'vm-a',
      ends: [
        { role: 'source', blockers: [blocker] },
        { role: 'target', blockers: [] },
      ],
    }),
  ).toMatchObject({ ok: false, cause: { code: 'host.topology_mismatch' } });
  expect(
    await world.dispatch('mov-2', 'check-blockers', 'template.check-blockers', { vmId: 'vm-a', ends: [{ role: 'source', blockers: [] }] }),
  ).toMatchObject({ ok: true });
});
