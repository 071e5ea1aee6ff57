import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { lose, tell } from '../executors/sql.ts';
import { World } from '../test/world.ts';

let world: World;
let fleet: string;
beforeAll(async () => {
  world = await World.started();
  fleet = await world.tokenFor('fleet', 'acme');
  const { pool, schema } = world.workflow.service;
  const h1 = {
    executor: 'host:h1',
    group: 'agent-gateway' as const,
    kinds: ['host.list-traces'],
    labels: {},
    at: new Date().toISOString(),
  };
  await tell(pool, schema, h1);
});
afterAll(() => world.close());

const audit = (host: string, body: object, more: object = {}) => world.post(`/v1/hosts/${host}/audit`, body, { token: fleet, ...more });
const started = async (workflowId: unknown) => {
  const { rows } = await world.workflow.service.pool.query<{ type: string; data: Record<string, unknown> }>(
    `select type, data from workflow.events where stream_id = $1 order by version`,
    [`workflow-${String(workflowId)}`],
  );
  return rows;
};

it('is the fleet’s workflow, whatever tenant its operator’s token names, and looks first', async () => {
  const { status, body } = await audit('h1', { remove: true, minAgeMs: 0 }, { key: 'once' });
  expect([status, body['hostId'], body['remove']]).toEqual([202, 'h1', true]);
  const events = await until(async () => {
    const found = await started(body['workflowId']);
    return found.some((e) => e.type.includes('dispatched')) ? found : undefined;
  });
  expect(events[0]!.data).toMatchObject({ subject: 'h1', params: { hostId: 'h1', remove: true, minAgeMs: 0 } });
  const given = events.find((e) => e.type.includes('dispatched'))!.data;
  expect(given).toMatchObject({ kind: 'host.list-traces', executor: 'host:h1', tenant: '*', input: { minAgeMs: 0 } });
});

it('removes nothing unless it is told to; a host that nobody has heard of, or text for a number, is refused', async () => {
  const { body } = await audit('h1', {});
  const [first] = await until(async () => ((await started(body['workflowId'])).length > 0 ? started(body['workflowId']) : undefined));
  expect(first!.data['params']).toEqual({ hostId: 'h1', remove: false });
  expect(await audit('h2', {})).toMatchObject({ status: 404, body: { code: 'host.unknown' } });
  expect((await audit('h1', { minAgeMs: 'now' })).status).toBe(422);
  expect((await audit('h1', { delete: true })).status).toBe(422);
});

it('is refused at once where the host’s agent is away, also as a dry run, and goes on where it is back', async () => {
  const { pool, schema } = world.workflow.service;
  const at = new Date().toISOString();
  const h3 = { executor: 'host:h3', group: 'agent-gateway' as const, kinds: ['host.list-traces'], labels: {}, sessionId: 's-1', at };
  await tell(pool, schema, h3);
  await lose(pool, schema, 'host:h3', 's-1');
  for (const query of ['', '?dryRun=true']) {
    const { status, body } = await world.post(`/v1/hosts/h3/audit${query}`, {}, { token: fleet });
    expect([status, body]).toMatchObject([409, { code: 'host.agent_away', hostId: 'h3', lastWord: at }]);
  }
  await tell(pool, schema, { ...h3, sessionId: 's-2' });
  expect(await audit('h3', {})).toMatchObject({ status: 202 });
});

it('is none of a tenant’s', async () => {
  const asTenant = await world.tokenFor('operator', 'acme');
  expect(await audit('h1', {}, { token: asTenant })).toMatchObject({ status: 403, body: { code: 'auth.denied' } });
});
