import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { contexts, progressTopic } from '@chrysalis/contracts';
import { belongings, type Role } from '@chrysalis/service-kit';
import { busEvent, until } from '@chrysalis/testing';
import { Documents, type Answer, type Document, type Parameter } from './test/documents.ts';
import { furnish, greet, openFleetOfTwo, settle, type FleetOfTwo, type Thing } from './test/fleet-of-two.ts';
import { lines, type Line, type Things } from './test/lines.ts';
import { sse } from './test/plane.ts';
import { cannotBeTried, changedSince, likeReal, stateOf } from './test/dry-runs.ts';

const ranks = ['viewer', 'operator', 'admin'] as const;
const callers = (
  [[], ['host-agent'], ['console'], ...ranks.map((r) => [r]), ['fleet'], ...ranks.map((r) => [r, 'fleet'])] as Role[][]
).flatMap((roles) => ['acme', 'other'].map((tenant) => ({ roles, tenant })));
type Route = {
  service: string;
  key: string;
  method: string;
  line: Line;
  role: (typeof ranks)[number];
  owner: string;
  fleet: boolean;
  parameters: readonly Parameter[];
  noDryRun: string | undefined;
};

let plane: FleetOfTwo;
let things: Things;
let others: Record<Thing, string>;
const tokens = new Map<string, string>();
const routes: Route[] = [];
const bare: string[] = [];
const documents = new Documents();
const answers: Answer[] = [];

beforeAll(async () => {
  process.env['CHRYSALIS_LOG'] = 'silent';
  plane = await openFleetOfTwo();
  const { letter } = await furnish(plane);
  const acme = await settle(plane, 'acme');
  others = await settle(plane, 'other');
  things = { ...acme, letter };
  for (const { roles, tenant } of callers) tokens.set(`${roles.join()} ${tenant}`, await plane.token(roles, tenant));
  for (const service of [...contexts, 'admin-api']) {
    const document = (await plane.call(service, 'GET', '/openapi.json')).body as unknown as Document;
    const { paths } = document;
    documents.add(service, document);
    for (const [path, methods] of Object.entries(paths))
      for (const [verb, operation] of Object.entries(methods)) {
        if (!operation['x-role']) continue;
        const method = verb.toUpperCase();
        const key = `${method} ${path.replaceAll(/\{\w+\}/g, '{}')}`;
        const line = lines[key];
        if (!line) bare.push(`${service}: ${key}`);
        else routes.push({ service, key, method, line, role: operation['x-role'] as Route['role'], owner: operation['x-owner']!, fleet: operation['x-fleet'] === true, parameters: operation.parameters, noDryRun: operation['x-no-dry-run'] });
      } // prettier-ignore
  }
  const door = tokens.get('viewer acme')!;
  for (const path of [`/v1/vms/${acme.vmId}`, `/v1/operations/${acme.operation}`, `/v1/migrations/${acme.migrationId}`, `/v1/workflows/${acme.workflowId}`])
    await until(async () => (await plane.call('admin-api', 'GET', path, { as: door })).status === 200); // prettier-ignore
});
afterAll(() => plane?.close());

const ask = async (r: Route, as?: string, query = '') => {
  const answer = await plane.call(r.service, r.method, `${r.line.path?.(things) ?? r.key.split(' ')[1]!}${query}`, {
    ...(as === undefined ? {} : { as }),
    ...(r.line.body && r.method !== 'GET' ? { body: r.line.body(things) } : {}),
  });
  answers.push({ ...answer, service: r.service, key: r.key });
  return answer;
};

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
    hidden: () => status === 404 || (status === 422 && /\.unknown$/.test(String(body.code))), // the path's, or a member of the body's
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
  });

  const leastOf = (r: Route): string => tokens.get(r.fleet ? `${r.role},fleet other` : `${r.role} acme`)!;
  /** The owner's before the door's, and what takes away after what needs it. */
  const changing = (): Route[] =>
    routes.filter((x) => x.method !== 'GET').sort((a, b) => Number(a.line.last ?? 0) - Number(b.line.last ?? 0));

  test('what changes something can be tried, or says why it cannot, and is then not taken for the real thing', async () => {
    const trial = (r: Route): boolean => r.parameters.some((p) => p.in === 'query' && p.name === 'dryRun');
    expect(changing().filter((r) => trial(r) === (r.noDryRun !== undefined)).map((r) => `${r.service} ${r.key}`)).toEqual([]);
    const not = changing().filter((r) => !trial(r));
    expect([...new Set(not.map((r) => r.key))].sort()).toEqual(Object.keys(cannotBeTried).sort());
    const answered = await Promise.all(not.map((r) => ask(r, leastOf(r), '?dryRun=true')));
    expect(answered.map((a) => [a.status, a.body.code])).toEqual(not.map(() => [422, 'request.no_dry_run']));
  }); // prettier-ignore

  test('a dozen at once that are refused are all answered: none waits for a second connection while it holds one', async () => {
    expect(plane.services.get('workflow')!.service.pool.options.max).toBeLessThan(12);
    for (const r of changing().filter((x) => x.key.includes('{}'))) {
      const path = r.key.split(' ')[1]!.replaceAll('{}', '1nothing');
      const body = r.line.body?.(things);
      const refused = await Promise.all(
        Array.from({ length: 12 }, () =>
          plane.call(r.service, r.method, path, { as: leastOf(r), ...(body === undefined ? {} : { body }) }),
        ),
      );
      expect([r.service, r.key, [...new Set(refused.map((a) => Math.floor(a.status / 100)))]]).toEqual([r.service, r.key, [4]]);
    }
  });

  test('a dry run leaves nothing behind', async () => {
    const { pool } = plane.services.get('provisioning')!.service;
    const before = await until(async () => {
      const [seen, again] = [await stateOf(pool), (await pause(400), await stateOf(pool))];
      return changedSince(seen, again).length === 0 && again;
    });
    const tried = changing().filter((r) => r.noDryRun === undefined);
    const answered = await Promise.all(tried.map(async (r) => [r, await ask(r, leastOf(r), '?dryRun=true')] as const));
    expect(changedSince(before, await stateOf(pool))).toEqual([]);
    const marked = answered.filter(([, a]) => a.status < 300);
    expect(marked.filter(([, a]) => a.status !== 200 || a.body['dryRun'] !== true).map(([r]) => r.key)).toEqual([]);
    expect(marked.length).toBeGreaterThan(40);
  }); // prettier-ignore

  test('whoever may is answered: every role and the fleet for what is read, the least role for what changes', async () => {
    const faults: string[] = [];
    const reading = routes.filter((r) => r.method === 'GET');
    for (const { roles, tenant } of callers) {
      const as = tokens.get(`${roles.join()} ${tenant}`)!;
      const may = reading.filter((r) => expected(r, roles, tenant) === 'answered');
      faults.push(...(await Promise.all(may.map((r) => verdict(r, 'answered', as)))).flatMap((s) => s ?? []));
    }
    for (const r of changing()) {
      const tried = r.noDryRun === undefined ? await ask(r, leastOf(r), '?dryRun=true') : undefined;
      const real = await ask(r, leastOf(r));
      const { status, body } = real;
      if (tried && !likeReal(tried, real))
        faults.push(`${r.service} ${r.key}: tried ${tried.status} ${tried.text}, and was ${status} ${real.text}`);
      if (body.code !== undefined && body.code === r.line.code) continue;
      const gone = r.line.last && r.service === 'admin-api' && status === 404; // its owner was asked before
      if (!gone && (status >= 500 || [401, 403, 404].includes(status))) faults.push(`${r.service} ${r.key}: ${status} for ${r.role}`);
    }
    expect(faults).toEqual([]);
  });
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
  }); // prettier-ignore

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
  });

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

describe('what a query may have', () => {
  const forged = [
    '["foo 1","x"]',
    '["2026","x"]',
    '["2026-01-01T00:00:00.000Z","a\\u0000"]',
    '["0000-01-01T00:00:00.000Z","x"]',
    '[1,2]',
    '{}',
    '7',
  ]
    .concat('{"startedAt":"0000-01-01T00:00:00.000Z","workflowId":"x"}', '{"startedAt":"2026-01-01T00:00:00.000Z","workflowId":"\\u0000"}')
    .map((text) => Buffer.from(text).toString('base64url'));
  const bad: Readonly<Record<string, readonly string[]>> = {
    limit: ['0', '1001', '1e2', '-1', 'x', ''],
    from: ['x'],
    asOf: ['0000-01-01T00:00:00Z', '2026-13-01T00:00:00Z', '0', 'x'],
  };

  test('is what the route says: no other name, none twice, no value that there is not', async () => {
    const as = tokens.get('admin,fleet acme')!;
    const reading = routes.filter((r) => r.method === 'GET');
    const asked = reading.flatMap((r) => {
      const query = r.parameters.filter((p) => p.in === 'query');
      const wrong = query.flatMap((p) =>
        [...(bad[p.name] ?? []), ...(p.schema.enum ? ['bogus'] : [])].map((value) => [p.name, value] as const),
      );
      const twice = query.slice(0, 1).map((p) => [p.name, `1&${p.name}=1`] as const);
      return [...wrong, ...twice, ['nonsense', '1'] as const].map(([name, value]) => ({ r, name, value }));
    });
    const faults = await Promise.all(
      asked.map(async ({ r, name, value }) => {
        const { status, body } = await ask(r, as, `?${name}=${value}`);
        const named = (body['errors'] as { path: string }[] | undefined)?.[0]?.path;
        return status === 422 && body.code === 'request.invalid' && named === name
          ? []
          : `${r.service} ${r.key}?${name}=${value}: ${status} ${body.code}`;
      }),
    );
    expect(faults.flat()).toEqual([]);
    expect(asked.length).toBeGreaterThan(100);
  });

  test('a cursor that is none of ours is refused, or finds nothing, and never reaches PostgreSQL as it is', async () => {
    const as = tokens.get('admin,fleet acme')!;
    const paged = routes.filter((r) => r.method === 'GET' && r.parameters.some((p) => p.name === 'cursor'));
    const seen = await Promise.all(
      paged.flatMap((r) =>
        [...forged, 'nonsense', '%00'].map(async (c) => ({
          at: `${r.service} ${r.key}?cursor=${c}`,
          ...(await ask(r, as, `?cursor=${c}`)),
        })),
      ),
    );
    expect(
      seen
        .filter((a) => a.status !== 200 && a.status !== 422 && a.body.code !== 'workflow.items_unknown')
        .map((a) => `${a.at}: ${a.status}`),
    ).toEqual([]);
    expect(paged.length).toBeGreaterThan(15);
  });
});

test('every answer there was is one that the service’s document describes', () => {
  expect([...new Set(answers.flatMap((a) => documents.faultsOf(a)))]).toEqual([]);
  const kinds = new Set(answers.map((a) => a.status));
  for (const status of [200, 201, 202, 401, 403, 404, 409, 422]) expect(kinds).toContain(status);
});
