import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Operation as ApiOperation, Problem, Task, Vm } from '@chrysalis/api-client';
import { migrationTemplatesEvents, workflowEvents } from '@chrysalis/contracts';
import { ifMatch } from '@chrysalis/service-kit';
import { until } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { dataOf, example, projected, startPlane, type Plane } from './test/plane.ts';

let plane: Plane;
let admin: string;
type List<T> = { items: T[]; next?: string };
const json = async <T = unknown>(path: string): Promise<T> => (await (await plane.get(path)).json()) as T;
const codeOf = async (refused: Response): Promise<string> => ((await refused.json()) as Problem).code;
const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${plane.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${admin}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

beforeAll(async () => {
  process.env['CHRYSALIS_LOG'] = 'silent';
  plane = await startPlane();
  admin = await plane.token(['admin', 'fleet']);
  await projected(plane);
});
afterAll(() => plane?.stop());

describe('reads', () => {
  test('a VM with what is known of its guest, and an ETag', async () => {
    const vmId = example('chrysalis.provisioning.vm.booted.v1').stream;
    const first = await plane.get(`/v1/vms/${vmId}`);
    expect(await first.json()).toMatchObject({
      vmId,
      type: { name: 'large', version: 1 },
      state: 'deleted',
      characterisation: { source: 'agent' },
    });
    const again = await plane.get(`/v1/vms/${vmId}`, { 'if-none-match': first.headers.get('etag')! });
    expect(again.status).toBe(304);
  });

  test('what a VM is seen to do stands beside what is wanted of it, and changes its ETag', async () => {
    const booted = example('chrysalis.provisioning.vm.booted.v1').data;
    const vmId = 'vm-0199c0de-0000-7000-8000-0000000000b5';
    const tell = (type: string, more: object): Promise<void> =>
      plane.append('provisioning', vmId, type, { ...example(type).data, vmId, ...more });
    const see = (hostId: string, epoch: number, state: string): Promise<void> =>
      plane.append('agent-gateway', `observed-${vmId}`, 'chrysalis.agent-gateway.vm.observed.v1', {
        ...{ vmId, hostId, epoch },
        observed: { state, since: '2026-01-01T00:00:00.000Z', resets: 2, lastResetAt: '2026-01-01T00:00:00.000Z', changes: 3 },
      });
    const shown = (): Promise<Vm> => json(`/v1/vms/${vmId}`);
    await tell('chrysalis.provisioning.vm.requested.v1', { name: 'seen' });
    await tell('chrysalis.provisioning.vm.booted.v1', { hostId: 'h1', epoch: 1 });
    await until(async () => (await shown()).state === 'running');
    expect(booted['hostId']).toBe('h1');
    const before = await plane.get(`/v1/vms/${vmId}`);
    expect(await before.json()).not.toHaveProperty('observed');
    await see('h1', 1, 'shut-down');
    await until(async () => (await shown()).observed !== undefined);
    const after = await plane.get(`/v1/vms/${vmId}`, { 'if-none-match': before.headers.get('etag')! });
    expect(after.status).toBe(200);
    // The ETag of a read is what `If-Match` of a command takes: the VM's own version, whatever is seen beside it.
    const etagOf = (r: Response): { headers: Record<string, string> } => ({ headers: { 'if-match': r.headers.get('etag')! } });
    expect([ifMatch(etagOf(before)), ifMatch(etagOf(after))]).toEqual([2, 2]);
    const h1 = await plane.get('/v1/hosts/h1');
    expect(ifMatch(etagOf(h1))).toBe(((await h1.json()) as { generation: number }).generation);
    expect(await after.json()).toMatchObject({
      state: 'running',
      version: 2,
      observed: { state: 'shut-down', hostId: 'h1', epoch: 1, resets: 2 },
    });
    const list = (await (await plane.get('/v1/vms?name=seen')).json()) as { items: object[] };
    expect(list.items).toMatchObject([{ vmId, observed: { state: 'shut-down' } }]);
    expect(list.items[0]).not.toHaveProperty('seen');
    await see('h2', 5, 'running');
    await until(async () => (await shown()).observed === undefined);
  });

  test('every list and every thing of the corpus', async () => {
    const { optionsQueried, planMade, migrationRequested } = migrationTemplatesEvents;
    const workflow = dataOf(workflowEvents.instanceStarted).workflowId;
    const seen = await Promise.all(
      [
        '/v1/vms?state=all',
        '/v1/hosts',
        '/v1/hosts/h1',
        '/v1/allocations?state=all',
        '/v1/vm-types',
        '/v1/vm-types/small',
        '/v1/vm-types/small/1',
        '/v1/images',
        '/v1/migration-templates/to-large/1',
        `/v1/migration-options-queries/${dataOf(optionsQueried).queryId}`,
        `/v1/migration-plans/${dataOf(planMade).plan.planId}`,
        '/v1/migrations',
        `/v1/migrations/${dataOf(migrationRequested).migrationId}`,
        '/v1/moves',
        '/v1/workflows',
        `/v1/workflows/${workflow}`,
        `/v1/workflows/${workflow}/history`,
        '/v1/operations',
        `/v1/operations/${workflow}`,
        '/v1/grants',
        '/v1/dead-letters',
      ].map(async (path) => [path, await plane.get(path)] as const),
    );
    expect(seen.filter(([, r]) => r.status !== 200).map(([p, r]) => `${p} ${r.status}`)).toEqual([]);
    const bodies: Record<string, unknown> = Object.fromEntries(await Promise.all(seen.map(async ([p, r]) => [p, await r.json()])));
    expect(bodies['/v1/hosts']).toMatchObject({ items: [{ hostId: 'h1' }] });
    expect(bodies['/v1/hosts/h1']).toMatchObject({ hostId: 'h1', state: 'cordoned', connected: false, facts: { address: '10.77.0.11' } });
    expect(bodies['/v1/vm-types/small/1']).toMatchObject({ name: 'small', version: 1, versions: [1], spec: { vcpus: { now: 1 } } });
    const { tasks } = bodies[`/v1/workflows/${workflow}`] as { tasks: Task[] };
    expect(tasks.map((t) => `${t.task} ${t.state} <- ${t.after}`)).toEqual([
      'place compensated <- ',
      'boot failed <- place',
      'record skipped <- boot',
    ]);
    expect(bodies['/v1/dead-letters']).toEqual({ items: [], unavailable: [] });
    expect(JSON.stringify(bodies)).not.toContain('eyJhbGciOi');
  });

  test('images are each with their newest version, or with all, the newest first; of one that was deleted nothing is left', async () => {
    const of = (version: number, digest: string) =>
      plane.append('provisioning', 'image-many', 'chrysalis.provisioning.image.registered.v1', {
        image: { name: 'many', version, digest: `sha256:${digest.repeat(64)}`, cmdline: '' },
      });
    const listed = async (query: string): Promise<string[]> =>
      (await json<List<{ name: string; version: number; digest: string }>>(`/v1/images${query}`)).items
        .filter((i) => i.name === 'many')
        .map((i) => `${i.version} ${i.digest.slice(7, 8)}`);
    await of(2, 'b');
    await of(1, 'a');
    await of(3, 'c');
    await until(async () => (await listed('?versions=all')).length === 3);
    expect([await listed('?versions=all'), await listed(''), await listed('?versions=newest')]).toEqual([
      ['3 c', '2 b', '1 a'],
      ['3 c'],
      ['3 c'],
    ]);
    for (const version of [3, 2, 1])
      await plane.append('provisioning', 'image-many', 'chrysalis.provisioning.image.deleted.v1', {
        ...{ name: 'many', version, digest: `sha256:${'c'.repeat(64)}` },
      });
    await until(async () => (await listed('?versions=all')).length === 0);
    expect(await listed('')).toEqual([]);
    expect((await plane.get('/v1/images?versions=2')).status).toBe(422);
  });

  test('the ledger is flat, and shows what is held now', async () => {
    const { items } = await json<List<unknown>>('/v1/allocations');
    expect(items).toEqual([
      expect.objectContaining({ hostId: 'h2', consumer: { kind: 'vm', id: expect.any(String) }, vcpu: 2, memoryMiB: 1024 }),
    ]);
  });

  test('pages go on where the last one ended', async () => {
    const all = (await json<List<ApiOperation>>('/v1/operations')).items.map((o) => o.id);
    const paged: string[] = [];
    for (let path: string | undefined = '/v1/operations?limit=2'; path;) {
      const page: List<ApiOperation> = await json(path);
      paged.push(...page.items.map((o) => o.id));
      path = page.next && `/v1/operations?limit=2&cursor=${page.next}`;
    }
    expect(paged).toEqual(all);
    expect(all.length).toBeGreaterThan(1);
  });

  test.each([
    ['/v1/vms?limit=0', 422, 'request.invalid'],
    ['/v1/vms?cursor=nonsense', 422, 'request.invalid'],
    ['/v1/vms/no-such-vm', 404, 'vm.unknown'],
    ['/v1/vm-types/small/9', 404, 'vm-type.unknown'],
    ['/v1/operations/op-nothing?wait=1h', 422, 'request.invalid'],
    ['/v1/nowhere', 404, 'route.unknown'],
  ])('%s is a problem document: %i %s', async (path, status, code) => {
    const response = await plane.get(path);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(await response.json()).toMatchObject({ code, status });
  });

  test('another tenant sees nothing of it, and a viewer may not command (I14)', async () => {
    const as = async (path: string, tenant: string): Promise<Response> =>
      fetch(`${plane.url}${path}`, { headers: { authorization: `Bearer ${await plane.token(['operator'], tenant)}` } });
    const vmId = example('chrysalis.provisioning.vm.booted.v1').stream;
    expect((await as(`/v1/vms/${vmId}`, 'acme')).status).toBe(200);
    for (const path of [`/v1/vms/${vmId}`, `/v1/operations/${example('chrysalis.workflow.instance.started.v1').data['workflowId']}`])
      expect((await as(path, 'other')).status).toBe(404);
    for (const path of ['/v1/vms?state=all', '/v1/operations', '/v1/grants', '/v1/workflows', '/v1/migrations', '/v1/moves'])
      expect(((await (await as(path, 'other')).json()) as { items: unknown[] }).items).toEqual([]);
    const viewer = await plane.token(['viewer']);
    const refused = await send('POST', '/v1/vms', { name: 'web' }, { authorization: `Bearer ${viewer}` });
    expect([refused.status, await codeOf(refused)]).toEqual([403, 'auth.denied']);
    expect((await fetch(`${plane.url}/v1/vms`)).status).toBe(401);
  });
});

describe('commands', () => {
  test('are decided by their owner; a read right after finds what was made', async () => {
    const key = { 'idempotency-key': uuidv7() };
    const made = await send('POST', '/v1/vms', { name: 'fresh' }, key);
    expect(made.status).toBe(202);
    const body = (await made.json()) as { operation: string; vmId: string };
    expect(made.headers.get('location')).toBe(`/v1/vms/${body.vmId}`);
    expect(await json(`/v1/vms/${body.vmId}`)).toMatchObject({ name: 'fresh', state: 'requested', operation: body.operation });

    const again = await send('POST', '/v1/vms', { name: 'fresh' }, key);
    expect([await again.json(), again.headers.get('idempotent-replay')]).toEqual([body, 'true']);
    const other = await send('POST', '/v1/vms', { name: 'other' }, key);
    expect([other.status, await codeOf(other)]).toEqual([409, 'idempotency.key_reused']);
  });

  test("the owner's refusal comes back as it was", async () => {
    const refused = await send('POST', '/v1/vms', { name: 'x' });
    expect(refused.headers.get('content-type')).toContain('application/problem+json');
    expect(await refused.json()).toMatchObject({ code: 'request.invalid', errors: [{ path: 'name' }] });
  });

  test('an owner that restarts meanwhile is not noticed, and does it once', async () => {
    const patient = () => send('POST', '/v1/vms', { name: 'patient' }, { 'idempotency-key': 'p1' });
    const [a, b] = (await plane.restart('provisioning', () => Promise.all([patient(), patient()])))!;
    expect([a.status, b.status]).toEqual([202, 202]);
    expect(await a.json()).toEqual(await b.json());
    expect((await json<List<unknown>>('/v1/vms?name=patient')).items.length).toBeLessThanOrEqual(1);
  });

  test('an owner that stays away is a 503 that says so', async () => {
    const service = plane.services.get('agent-gateway')!;
    await service.stop();
    const refused = await send('POST', '/v1/grants', { jws: 'x' });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await refused.json()).toMatchObject({ code: 'service.unavailable', service: 'agent-gateway' });
    expect(await json('/v1/hosts')).toMatchObject({ items: [{ hostId: 'h1' }] });
    expect(await json('/v1/dead-letters')).toEqual({ items: [], unavailable: ['agent-gateway'] });
  });
});

/** What is looked at of an operation; what it has to have may be missing. */
type Operation = {
  operationId: string;
  summary?: string;
  security?: unknown[];
  'x-role'?: string;
  parameters: { in: string; name: string }[];
  requestBody?: { content: { 'application/json': { schema: { properties: object } } } };
  responses: { default?: { content?: Record<string, unknown> } };
};
type OpenApi = { openapi: string; paths: Record<string, Record<string, Operation>> };

describe('the documents', () => {
  test('OpenAPI: every operation has a summary, a role, and problems for answers; commands have their owners’ bodies', async () => {
    const document = (await (await fetch(`${plane.url}/openapi.json`)).json()) as OpenApi;
    expect(document.openapi).toBe('3.1.0');
    const faults: string[] = [];
    const ids = new Set<string>();
    for (const [path, methods] of Object.entries(document.paths))
      for (const [method, o] of Object.entries(methods)) {
        const at = `${method} ${path}`;
        if (!o.summary || o.summary.includes('Controller')) faults.push(`${at}: no summary`);
        if (!Array.isArray(o.security) || (o.security.length > 0 && !o['x-role'])) faults.push(`${at}: no role`);
        if (!o.responses.default?.content?.['application/problem+json']) faults.push(`${at}: no problem`);
        if (!/^[a-z0-9_]+$/.test(o.operationId) || ids.has(o.operationId)) faults.push(`${at}: operationId ${o.operationId}`);
        for (const name of [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]))
          if (!o.parameters.some((p) => p.in === 'path' && p.name === name)) faults.push(`${at}: parameter ${name}`);
        ids.add(o.operationId);
      }
    expect(faults).toEqual([]);
    expect(document.paths['/v1/vms']?.['post']?.requestBody?.content['application/json'].schema.properties).toHaveProperty('name');
    expect(document.paths['/v1/operations/{id}']?.['get']?.['x-role']).toBe('viewer');
    expect(ids.size).toBeGreaterThan(40);
  });

  test('AsyncAPI', async () => {
    const document = (await (await fetch(`${plane.url}/asyncapi.json`)).json()) as { asyncapi: string };
    expect(document.asyncapi).toBe('3.0.0');
  });
});
