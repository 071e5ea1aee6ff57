import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { WorkflowLimits } from '@chrysalis/contracts';
import type { RunningService } from '@chrysalis/service-kit';
import { until as come } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { step, workflow } from '../test/definitions.ts';
import { ServiceProcesses } from '../test/service-process.ts';
import { World } from '../test/world.ts';

let world: World;
let admin: string;
beforeEach(async () => {
  world = await World.open();
  admin = await world.tokenFor('fleet', 'acme');
  await world.startExecutors();
});
afterEach(() => world.close());

const pool = () => world.running[0]!.service.pool;
const limit = async (limits: WorkflowLimits): Promise<void> => {
  for (const of of world.running.filter((s) => s.context === 'workflow'))
    expect((await world.send('PUT', '/v1/workflow-limits', limits, { token: admin, of })).status).toBe(200);
};
const publish = async (name: string): Promise<void> => {
  const { version: _, ...definition } = workflow([step('a', 'alpha')], { name });
  expect((await world.post('/v1/workflow-templates', { definition }, { token: admin })).status).toBe(201);
};
type Told = { type: string; id: string; tenant: string; kind: string };
/** Starts and ends in the order of the log. One that was let in because another ended comes after that one's end. */
const log = async (): Promise<Told[]> =>
  (
    await pool().query<Told>(
      `select split_part(type, '.', 4) as type, data ->> 'workflowId' as id, meta ->> 'tenant' as tenant,
         coalesce(data -> 'definition' ->> 'name', data ->> 'name') as kind
       from workflow.events where type ~ 'instance.(started|ended|queued)' order by global_position`,
    )
  ).rows;
const until = (done: () => Promise<boolean>): Promise<unknown> => come(done);
const endedOf = async (n: number): Promise<boolean> => (await log()).filter((e) => e.type === 'ended').length >= n;
const left = async (): Promise<number> => (await pool().query('select from workflow.queue')).rowCount!;

describe('two instances', () => {
  let two: RunningService[];
  beforeEach(async () => {
    two = [await world.startWorkflow(), await world.startWorkflow()];
    for (const name of ['audit', 'drain', 'scan']) await publish(name);
  });

  it('never exceed a limit, start each request once, and leave nothing behind', async () => {
    const limits = { overall: { running: 5 }, perTenant: { running: 3 }, kinds: { drain: { running: 1 }, audit: { running: 4 } } };
    await limit(limits);
    const tenants = ['acme', 'beta', 'gamma'];
    const tokens = await Promise.all(tenants.map((t) => world.tokenFor('operator', t)));
    const asks = Array.from({ length: 90 }, (_, i) =>
      world.post(
        '/v1/workflows',
        { template: ['audit', 'drain', 'scan'][i % 3], priority: i % 10 },
        { token: tokens[(i >> 1) % 3]!, of: two[i % 2]!, key: `k${i % 80}` }, // ten of them twice
      ),
    );
    const answers = await Promise.all(asks);
    expect([...new Set(answers.map((a) => a.status))].sort()).toEqual([202]);
    const ids = new Set(answers.map((a) => a.body['workflowId'] as string));
    await until(() => endedOf(ids.size));
    const running = new Map<string, Told>();
    const starts: string[] = [];
    let most = 0;
    for (const e of (await log()).filter((t) => t.type !== 'queued')) {
      if (e.type === 'ended') running.delete(e.id);
      else {
        running.set(e.id, e);
        starts.push(e.id);
      }
      most = Math.max(most, running.size);
      const count = (of: (t: Told) => boolean) => [...running.values()].filter(of).length;
      expect(running.size).toBeLessThanOrEqual(limits.overall.running);
      for (const t of tenants) expect(count((r) => r.tenant === t)).toBeLessThanOrEqual(limits.perTenant.running);
      expect(count((r) => r.kind === 'drain')).toBeLessThanOrEqual(1);
      expect(count((r) => r.kind === 'audit')).toBeLessThanOrEqual(4);
    }
    expect(most).toBe(5);
    expect(starts.toSorted()).toEqual([...ids].toSorted());
    await until(async () => (await left()) === 0);
  });

  it('let a tenant with few requests in between those of one with many', async () => {
    await limit({ overall: { running: 0 } });
    const greedy = await world.tokenFor('operator', 'greedy');
    const small = await world.tokenFor('operator', 'small');
    for (let i = 0; i < 30; i++) await world.post('/v1/workflows', { template: 'scan' }, { token: greedy, of: two[i % 2]! });
    for (let i = 0; i < 4; i++) await world.post('/v1/workflows', { template: 'scan' }, { token: small, of: two[i % 2]! });
    await limit({ overall: { running: 2 } });
    await until(() => endedOf(34));
    const order = (await log()).filter((e) => e.type === 'started').map((e) => e.tenant);
    expect(order.lastIndexOf('small')).toBeLessThan(12);
  });

  it('go on with what waits when the one that took it has gone', async () => {
    await limit({ overall: { running: 0 } });
    const { body } = await world.post('/v1/workflows', { template: 'scan' }, { of: two[1]! });
    await world.stop(two[1]!);
    await world.send('PUT', '/v1/workflow-limits', {}, { token: admin, of: two[0]! });
    await until(() => endedOf(1));
    expect((await log()).map((e) => [e.type, e.id])).toEqual(['queued', 'started', 'ended'].map((type) => [type, body['workflowId']]));
  });

  it('take what events ask for again and again as one request, where a limit holds it', async () => {
    await limit({ kinds: { asked: { running: 0 } } });
    const { version: _, ...rest } = workflow([step('a', 'alpha')], { name: 'asked' });
    const id = `op-${uuidv7()}`;
    for (let i = 0; i < 5; i++) await world.ask({ ...rest, version: 1 }, {}, id);
    await until(async () => (await left()) === 1);
    await limit({});
    await until(() => endedOf(1));
    for (let i = 0; i < 3; i++) await world.ask({ ...rest, version: 1 }, {}, id);
    await limit({ kinds: { asked: { running: 0 } } });
    for (let i = 0; i < 3; i++) await world.ask({ ...rest, version: 1 }, {}, id);
    const behind = await world.ask({ ...rest, name: 'behind', version: 1 }, {}, `op-${uuidv7()}`, 'acme', `vm-${id}`); // of one key with them
    await until(() => endedOf(2));
    expect((await log()).filter((e) => e.id !== behind).map((e) => e.type)).toEqual(['queued', 'started', 'ended']);
    expect(await left()).toBe(0);
  });
});

describe('killed', () => {
  let processes: ServiceProcesses;
  beforeEach(() => {
    processes = new ServiceProcesses();
  });
  afterEach(() => {
    processes.end();
  });

  const port = 20_000 + Math.floor(Math.random() * 20_000);
  const ask = async (method: string, url: string, body: object, key?: string): Promise<Response | undefined> => {
    const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json', ...(key ? { 'idempotency-key': key } : {}) };
    return fetch(`http://127.0.0.1:${port}${url}`, { method, headers, body: JSON.stringify(body) }).catch(() => undefined);
  };
  const ready = () => until(async () => (await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined))?.status === 200);

  it.each(['workflow:queue-admitted', 'workflow:queue-started'])('at %s: what was taken is started, and once', async (point) => {
    processes.rules({});
    processes.supervise({ ...world.config, port });
    await ready();
    // On a busy machine the deaths take their time, and until the last one nothing is delivered.
    const { version: _, ...definition } = workflow([step('a', 'alpha', { deadlineMs: 300_000 })], { name: 'audit', deadlineMs: 300_000 });
    expect((await ask('POST', '/v1/workflow-templates', { definition }))?.status).toBe(201);
    expect((await ask('PUT', '/v1/workflow-limits', { kinds: { audit: { running: 2 } } }))?.status).toBe(200);
    processes.rules({ [point]: { action: 'exit' } });
    const keys = ['a', 'b', 'c', 'd'];
    for (const key of keys) await ask('POST', '/v1/workflows', { template: 'audit' }, key); // the answer may be lost with the process
    await until(async () => processes.deaths >= 2);
    processes.rules({});
    await ready();
    const ids: string[] = [];
    for (const key of keys) {
      const answer = await ask('POST', '/v1/workflows', { template: 'audit' }, key);
      ids.push(((await answer!.json()) as { workflowId: string }).workflowId);
    }
    await until(() => endedOf(4));
    expect(
      (await log())
        .filter((e) => e.type === 'started')
        .map((e) => e.id)
        .toSorted(),
    ).toEqual(ids.toSorted());
    expect(world.executed).toHaveLength(4);
    await until(async () => (await left()) === 0);
  });
});
