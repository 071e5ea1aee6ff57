import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { contexts, progressTopic } from '@chrysalis/contracts';
import { belongings, type Role } from '@chrysalis/service-kit';
import { busEvent, until } from '@chrysalis/testing';
import { furnish, greet, image, openFleetOfTwo, settle, spec, type FleetOfTwo, type Thing } from './test/fleet-of-two.ts';
import { sse } from './test/plane.ts';

/**
 * Every route of every service, by every role, of the tenant whose thing is asked for, of another, and of the fleet. The routes come
 * from the services' own documents: one without a line here fails.
 *
 * `foreign`, for what is a tenant's: of `hidden` another tenant hears 404; in `apart` it finds its own; `refused` it may not say of
 * another's, nor take its name. `last`: takes the thing away.
 */
type Things = Readonly<Record<Thing | 'letter', string>>;
type Line = {
  readonly path?: (t: Things) => string;
  readonly body?: (t: Things) => unknown;
  readonly foreign?: 'hidden' | 'apart' | 'refused';
  readonly last?: true;
  /** The refusal of one who was let in. */
  readonly code?: string;
};
const why = { reason: 'a test' };
const apart: Line = { foreign: 'apart' };
const hidden = (path: Line['path'] & object, more: Partial<Line> = {}): Line => ({ path, foreign: 'hidden', ...more });
const workflow = (rest: string, more?: Partial<Line>): Line => hidden((t) => `/v1/workflows/${t.workflowId}${rest}`, more);
const policy = (rest: string, more?: Partial<Line>): Line => hidden((t) => `/v1/workflow-policies/${t.policy}${rest}`, more);
const change = { type: 'skip-task', task: 'audit' };

const lines: Readonly<Record<string, Line>> = {
  'GET /v1/allocations': apart,
  'GET /v1/dead-letters': {},
  'POST /v1/dead-letters/{}/redrive': { path: (t) => `/v1/dead-letters/${t.letter}/redrive` },
  'POST /v1/dead-letters/{}/discard': { path: (t) => `/v1/dead-letters/${t.letter}/discard`, last: true },
  'POST /v1/dead-letters/{}/{}/redrive': { path: (t) => `/v1/dead-letters/projector/${t.letter}/redrive` },
  'POST /v1/dead-letters/{}/{}/discard': { path: (t) => `/v1/dead-letters/projector/${t.letter}/discard`, last: true },
  'GET /v1/events': apart,
  'GET /v1/executors': {},
  'GET /v1/grants': apart,
  'POST /v1/grants': { body: ({ jws }) => ({ jws }), foreign: 'refused' },
  'DELETE /v1/grants/{}': hidden((t) => `/v1/grants/${t.grantId}`, { body: () => why, last: true }),
  'GET /v1/hosts': {},
  'GET /v1/hosts/{}': { path: () => '/v1/hosts/h1' },
  'POST /v1/hosts/{}/state': { path: () => '/v1/hosts/h1/state', body: () => ({ state: 'cordoned', ...why }) },
  'POST /v1/hosts/{}/release-agent': { path: () => '/v1/hosts/h1/release-agent', body: () => why, code: 'host-agent.unknown' },
  'GET /v1/images': {},
  'POST /v1/images': { body: () => ({ image }) },
  'POST /v1/migration-options-queries': { body: ({ vmId }) => ({ vmIds: [vmId] }), foreign: 'hidden' },
  'GET /v1/migration-options-queries/{}': hidden((t) => `/v1/migration-options-queries/${t.queryId}`),
  'POST /v1/migration-plans': { body: ({ template, vmId }) => ({ template, vmIds: [vmId] }), foreign: 'hidden' },
  'GET /v1/migration-plans/{}': hidden((t) => `/v1/migration-plans/${t.planId}`),
  'GET /v1/migration-templates': apart,
  'POST /v1/migration-templates': {
    body: ({ template }) => ({ name: template, spec: templateSpec }),
    foreign: 'refused',
  },
  'GET /v1/migration-templates/{}': hidden((t) => `/v1/migration-templates/${t.template}`),
  'GET /v1/migration-templates/{}/{}': hidden((t) => `/v1/migration-templates/${t.template}/1`),
  'DELETE /v1/migration-templates/{}': hidden((t) => `/v1/migration-templates/${t.template}`, { last: true }),
  'GET /v1/migrations': apart,
  'POST /v1/migrations': { body: ({ planId }) => ({ planId }), foreign: 'hidden' },
  'GET /v1/migrations/{}': hidden((t) => `/v1/migrations/${t.migrationId}`),
  'POST /v1/migrations/{}/cancel': hidden((t) => `/v1/migrations/${t.migrationId}/cancel`, { body: () => why, last: true }),
  'GET /v1/moves': apart,
  'GET /v1/operations': apart,
  'GET /v1/operations/{}': hidden((t) => `/v1/operations/${t.operation}`),
  'GET /v1/operations/{}/events': hidden((t) => `/v1/operations/${t.operation}/events`),
  'POST /v1/operations/{}/cancel': hidden((t) => `/v1/operations/${t.operation}/cancel`, { body: () => why, last: true }),
  'POST /v1/placements': { body: () => ({}) },
  'GET /v1/progress': apart,
  'GET /v1/relay-audit': {},
  'POST /v1/relay-audit': { body: () => ({}) },
  'GET /v1/relay-audits': {},
  'POST /v1/relay-audits/{}': { path: () => '/v1/relay-audits/provisioning', body: () => ({}) },
  'POST /v1/tenant-keys': { body: ({ tenant }) => ({ tenant, kid: 'other-kid', publicKeyJwk }), foreign: 'refused' },
  'GET /v1/vm-types': {},
  'POST /v1/vm-types': { body: () => ({ name: 'small', spec: spec(1) }) },
  'GET /v1/vm-types/{}': { path: () => '/v1/vm-types/small' },
  'GET /v1/vm-types/{}/{}': { path: () => '/v1/vm-types/small/1' },
  'POST /v1/vm-types/{}/{}/deprecate': { path: () => '/v1/vm-types/small/1/deprecate', body: () => why, last: true },
  'GET /v1/vms': apart,
  'POST /v1/vms': { body: () => ({ name: 'web', type: 'small@1', image: 'linux@1' }), foreign: 'apart' },
  'GET /v1/vms/{}': hidden((t) => `/v1/vms/${t.vmId}`),
  'DELETE /v1/vms/{}': hidden((t) => `/v1/vms/${t.vmId}`, { last: true }),
  'GET /v1/workflow-limits': {},
  'PUT /v1/workflow-limits': { body: () => ({}) },
  'GET /v1/workflow-policies': apart,
  'POST /v1/workflow-policies': {
    body: ({ tenant, policy: name }) => ({
      name,
      tenant,
      summary: 'of a tenant',
      on: { event: 'chrysalis.provisioning.vm.deleted.v1' },
      start: { template: 'audit-holds@1', params: {}, subject: 'x' },
    }),
    foreign: 'refused',
  },
  'GET /v1/workflow-policies/{}': policy(''),
  'POST /v1/workflow-policies/{}/enable': policy('/enable', { body: () => why }),
  'POST /v1/workflow-policies/{}/disable': policy('/disable', { body: () => why }),
  'POST /v1/workflow-policies/{}/test': policy('/test', { body: () => ({ event: { type: 'chrysalis.x.v1', data: {} } }) }),
  'DELETE /v1/workflow-policies/{}': policy('', { body: () => why, last: true }),
  'GET /v1/workflow-queue': apart,
  'GET /v1/workflow-templates': {},
  'POST /v1/workflow-templates': { body: () => ({}) },
  'POST /v1/workflow-templates/validate': { body: () => ({}) },
  'GET /v1/workflow-templates/schema': {},
  'GET /v1/workflow-templates/{}': { path: () => '/v1/workflow-templates/audit-holds' },
  'GET /v1/workflow-templates/{}/{}': { path: () => '/v1/workflow-templates/audit-holds/1' },
  'GET /v1/workflow-templates/{}/{}/analysis': { path: () => '/v1/workflow-templates/audit-holds/1/analysis' },
  'DELETE /v1/workflow-templates/{}': { path: () => '/v1/workflow-templates/retire-vm-type', last: true },
  'GET /v1/workflows': apart,
  'POST /v1/workflows': { body: () => ({ template: 'audit-holds', params: {} }), foreign: 'apart' },
  'GET /v1/workflows/{}': workflow(''),
  'GET /v1/workflows/{}/analysis': workflow('/analysis'),
  'GET /v1/workflows/{}/history': workflow('/history'),
  'GET /v1/workflows/{}/tasks/{}/items': workflow('/tasks/audit/items', { code: 'workflow.items_unknown' }),
  'POST /v1/workflows/{}/changes': workflow('/changes', { body: () => ({ change, ...why }) }),
  'POST /v1/workflows/{}/cancel': workflow('/cancel', { body: () => why, last: true }),
  'POST /v1/workflows/{}/undo': workflow('/undo', { body: () => why, last: true }),
};
const publicKeyJwk = { kty: 'OKP', crv: 'Ed25519', x: 'a'.repeat(43) };
const templateSpec = {
  sourceType: { name: 'small', version: 1 },
  preMigration: [],
  hotUnplug: [],
  migration: [],
  hotPlug: [{ kind: 'plug-cpus', name: 'grow', vcpus: 2 }],
  postMigration: [{ kind: 'online-cpus', name: 'use', vcpus: 2 }],
  options: {
    targetType: { name: 'large', version: 1 },
    method: 'pre-copy',
    newResources: 'expose',
    augmentation: [],
    emulateIncompatible: false,
    downtimeLimitMs: 300,
    maxBandwidthMiBps: 100,
  },
};

const ranks = ['viewer', 'operator', 'admin'] as const;
const callers = ([[], ['host-agent'], ...ranks.map((r) => [r]), ['fleet'], ...ranks.map((r) => [r, 'fleet'])] as Role[][]).flatMap(
  (roles) => ['acme', 'other'].map((tenant) => ({ roles, tenant })),
);
type Route = { service: string; key: string; method: string; line: Line; role: (typeof ranks)[number]; owner: string; fleet: boolean };
type Operation = { 'x-role'?: Route['role']; 'x-owner'?: string; 'x-fleet'?: true };

let plane: FleetOfTwo;
let things: Things;
let others: Record<Thing, string>;
const tokens = new Map<string, string>();
const routes: Route[] = [];
const bare: string[] = [];

beforeAll(async () => {
  process.env['CHRYSALIS_LOG'] = 'silent';
  plane = await openFleetOfTwo();
  const { letter } = await furnish(plane);
  const acme = await settle(plane, 'acme');
  others = await settle(plane, 'other');
  things = { ...acme, letter };
  for (const { roles, tenant } of callers) tokens.set(`${roles.join()} ${tenant}`, await plane.token(roles, tenant));
  for (const service of [...contexts, 'admin-api']) {
    const { paths } = (await plane.call(service, 'GET', '/openapi.json')).body as unknown as {
      paths: Record<string, Record<string, Operation>>;
    };
    for (const [path, methods] of Object.entries(paths))
      for (const [verb, operation] of Object.entries(methods)) {
        if (!operation['x-role']) continue;
        const method = verb.toUpperCase();
        const key = `${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`;
        const line = lines[key];
        if (!line) bare.push(`${service}: ${key}`);
        else routes.push({ service, key, method, line, role: operation['x-role'], owner: operation['x-owner']!, fleet: operation['x-fleet'] === true });
      } // prettier-ignore
  }
  const door = tokens.get('viewer acme')!;
  for (const path of [`/v1/vms/${acme.vmId}`, `/v1/operations/${acme.operation}`, `/v1/migrations/${acme.migrationId}`, `/v1/workflows/${acme.workflowId}`])
    await until(async () => (await plane.call('admin-api', 'GET', path, { as: door })).status === 200); // prettier-ignore
}, 120_000);
afterAll(() => plane?.close(), 30_000);

const ask = (r: Route, as?: string) =>
  plane.call(r.service, r.method, r.line.path?.(things) ?? r.key.split(' ')[1]!, {
    ...(as === undefined ? {} : { as }),
    ...(r.line.body && r.method !== 'GET' ? { body: r.line.body(things) } : {}),
  });

/** What has a say about this caller: nothing but role and tenant. */
const expected = (r: Route, roles: readonly Role[], tenant: string): 'denied' | 'hidden' | 'apart' | 'refused' | 'answered' => {
  const fleet = roles.includes('fleet');
  const high = ranks.findIndex((x) => roles.includes(x)) >= ranks.indexOf(r.role);
  if (!high || (r.fleet && !fleet)) return 'denied';
  if (r.owner !== 'tenant' || fleet || tenant === 'acme') return 'answered';
  return r.line.foreign!;
};

const verdict = async (r: Route, want: ReturnType<typeof expected>, as: string): Promise<string | undefined> => {
  const { status, body, text } = await ask(r, as);
  const shows = [things.vmId, things.operation, things.migrationId, things.workflowId, things.policy, things.template, things.grantId].find((id) =>
    text.includes(id),
  ); // prettier-ignore
  const good = {
    denied: () => status === 403 && body.code === 'auth.denied',
    hidden: () => status === 404,
    apart: () => status < 300 && shows === undefined,
    refused: () => [403, 409].includes(status) && body.code !== 'auth.denied',
    answered: () => (status < 500 && ![401, 403, 404].includes(status)) || (body.code !== undefined && body.code === r.line.code),
  }[want]();
  return good ? undefined : `${r.service} ${r.key}: ${status} ${text.slice(0, 200)}, not ${want}`;
};

describe('every route x role x own or other tenant', () => {
  test('each has a line here, and each line a route', () => {
    expect(bare).toEqual([]);
    const used = new Set(routes.map((r) => r.key));
    expect(Object.keys(lines).filter((key) => !used.has(key))).toEqual([]);
    expect(routes.filter((r) => r.owner === 'tenant' && !r.line.foreign).map((r) => r.key)).toEqual([]);
    const owned = new Set([...used].map((key) => key.split('/')[2]!));
    expect(Object.keys(belongings).filter((thing) => !owned.has(thing))).toEqual(['agents']);
  });

  test('nobody without a token, nor with one that is not ours', async () => {
    const open = (await Promise.all(routes.flatMap((r) => [ask(r), ask(r, 'nonsense')].map(async (a) => [r, await a] as const)))).filter(
      ([, a]) => a.status !== 401,
    );
    expect(open.map(([r, a]) => `${r.service} ${r.key}: ${a.status}`)).toEqual([]);
  });

  test('whoever may not, may not, and sees nothing of it', async () => {
    const faults: string[] = [];
    for (const { roles, tenant } of callers) {
      const as = tokens.get(`${roles.join()} ${tenant}`)!;
      const refused = routes.filter((r) => expected(r, roles, tenant) !== 'answered');
      const seen = await Promise.all(refused.map((r) => verdict(r, expected(r, roles, tenant), as)));
      faults.push(...seen.flatMap((s) => (s === undefined ? [] : [`[${roles.join('+')} of ${tenant}] ${s}`])));
    }
    expect(faults).toEqual([]);
  }, 60_000);

  test('whoever may is answered: every role and the fleet for what is read, the least role for what changes', async () => {
    const faults: string[] = [];
    const reading = routes.filter((r) => r.method === 'GET');
    for (const { roles, tenant } of callers) {
      const as = tokens.get(`${roles.join()} ${tenant}`)!;
      const may = reading.filter((r) => expected(r, roles, tenant) === 'answered');
      faults.push(...(await Promise.all(may.map((r) => verdict(r, 'answered', as)))).flatMap((s) => s ?? []));
    }
    // The owner's before the door's, and what takes away after what needs it.
    for (const r of routes.filter((x) => x.method !== 'GET').sort((a, b) => Number(a.line.last ?? 0) - Number(b.line.last ?? 0))) {
      const roles = r.fleet ? `${r.role},fleet` : r.role;
      const as = tokens.get(`${roles} ${r.fleet ? 'other' : 'acme'}`)!;
      const { status, body } = await ask(r, as);
      if (body.code !== undefined && body.code === r.line.code) continue;
      const gone = r.line.last && r.service === 'admin-api' && status === 404; // its owner was asked before
      if (!gone && (status >= 500 || [401, 403, 404].includes(status))) faults.push(`${r.service} ${r.key}: ${status} for ${roles}`);
    }
    expect(faults).toEqual([]);
  }, 60_000);
});

describe('streams', () => {
  test('of every event another tenant hears its own, and the fleet’s administration all', async () => {
    const heard = async (token: string, stream: string): Promise<string[]> => {
      const response = await fetch(`${plane.services.get('admin-api')!.url}/v1/events?from=start`, { headers: { authorization: `Bearer ${token}` } });
      let text = '';
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) if ((text += chunk).includes(`"${stream}"`)) break;
      return [...new Set([...text.matchAll(/"tenant":"([^"]+)","actor"/g)].map((m) => m[1]!))].sort();
    };
    expect(await heard(tokens.get('admin other')!, `workflow-${others.workflowId}`)).toEqual(['other']);
    expect(await heard(tokens.get('viewer,fleet other')!, `workflow-${others.workflowId}`)).toEqual(expect.arrayContaining(['acme', 'other']));
  }, 30_000); // prettier-ignore

  test('of progress as well', async () => {
    const { url } = plane.services.get('admin-api')!;
    const listen = (token: string, count: number): Promise<string[]> =>
      fetch(`${url}/v1/progress`, { headers: { authorization: `Bearer ${token}` } })
        .then((r) => sse(r, count))
        .then((all) => all.map((e) => String(e.data['moveId'])));
    const { bus } = plane.services.get('provisioning')!.service;
    const sample = (tenant: string, moveId: string) => ({
      topic: progressTopic,
      event: busEvent(moveId, 'chrysalis.agent-gateway.progress', { type: 'progress', vmId: 'vm-1', moveId }, { tenant }),
    });
    await bus.publish([sample('acme', 'mov-acme'), sample('other', 'mov-other')]); // the newest of each is told to who comes later
    expect(await listen(tokens.get('viewer other')!, 1)).toEqual(['mov-other']);
    expect((await listen(tokens.get('viewer,fleet other')!, 2)).sort()).toEqual(['mov-acme', 'mov-other']);
  }, 30_000);

  test('an agent’s WebSocket is for the host agent of that host, and for nobody else', async () => {
    const said = async (roles: readonly Role[], sub: string): Promise<unknown> => {
      const { socket, answer } = await greet(plane.agentsUrl, await plane.token(roles, 'acme', sub));
      socket.terminate();
      return answer['type'] === 'welcome' ? 'welcome' : (answer['cause'] as { code: string }).code;
    };
    for (const roles of [[], ...ranks.map((r) => [r]), ['admin', 'fleet']] as Role[][])
      expect(await said(roles, 'host:h1')).toBe('agent.token_invalid');
    expect(await said(['host-agent'], 'host:h2')).toBe('agent.foreign_host');
    expect(await said(['host-agent'], 'host:h1')).toBe('welcome');
  });

  test('a workflow of one tenant reaches no VM of another, whatever its params name', async () => {
    const { vmId } = things;
    const params = { vmId, epoch: 1, hostId: 'h1', name: 'stolen', pool: 'shared', racks: [] };
    const { body } = await plane.call('workflow', 'POST', '/v1/workflows', { as: tokens.get('operator other')!, body: { template: 'save-vm', params } });
    const id = String(body['workflowId']);
    const cause = await until(async () => {
      const { body: seen } = await plane.call('workflow', 'GET', `/v1/workflows/${id}`, { as: tokens.get('viewer other')! });
      return (seen as { cause?: { code: string } }).cause?.code;
    });
    expect(cause).toBe('vm.foreign_tenant');
  }); // prettier-ignore
});
