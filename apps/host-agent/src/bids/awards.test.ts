import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { agentGatewayEvents, hostTasks, taskBid, type TaskBid, type TaskDefinition, type WorkflowDefinition } from '@chrysalis/contracts';
import type { RunningService } from '@chrysalis/service-kit';
import { distributeImage, saveVm } from '@chrysalis/workflow-core';
import { until } from '@chrysalis/testing';
import type { Gateway } from '../../../agent-gateway/src/test/harness.ts';
import { start } from '../../../workflow/src/main.ts';
import { digest as fileDigest } from '../test/fixtures.ts';
import { Fleet } from '../test/fleet.ts';

type Event = { type: string; data: Record<string, unknown> };
type View = { state: string; cause?: { code: string }; output?: Record<string, unknown> };
type Executor = { executor: string; rank: number; health: string; kinds: string[]; labels: Record<string, string[]>; capacity?: number };

/** The workflow service, two gateways, and host agents as processes, two at each. */
describe('offers, bids and awards from end to end', () => {
  let fleet: Fleet;
  let second: Gateway;
  let workflow: RunningService;
  let admin: string;

  const api = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json', 'idempotency-key': randomUUID() };
    const response = await fetch(`${workflow.url}${path}`, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
    const answer = (await response.json()) as T;
    if (!response.ok) throw new Error(JSON.stringify(answer));
    return answer;
  };
  const begin = async (definition: WorkflowDefinition, params: Record<string, unknown> = {}): Promise<string> => {
    const { version: _, ...template } = definition;
    return (await api<{ workflowId: string }>('POST', '/v1/workflows', { definition: template, params })).workflowId;
  };
  const history = async (id: string): Promise<Event[]> =>
    (await workflow.service.store.read(`workflow-${id}`)).map(({ type, data }) => ({ type, data: data as Record<string, unknown> }));
  const of = async (id: string, what: string): Promise<Record<string, unknown>[]> =>
    (await history(id)).filter((e) => e.type === `chrysalis.workflow.${what}.v1`).map((e) => e.data);
  const ended = (id: string): Promise<View> =>
    until(async () => {
      const view = await api<View>('GET', `/v1/workflows/${id}`);
      return !['running', 'compensating'].includes(view.state) && view;
    });
  const rankOf = async (hostId: string): Promise<number> =>
    (await api<{ items: Executor[] }>('GET', '/v1/executors')).items.find((e) => e.executor === `host:${hostId}`)!.rank;
  const hosts = ['h1', 'h2', 'h3', 'h4'];
  const holders = (image: string): string[] => hosts.filter((h) => existsSync(join(fleet.dir, h, 'images', `${image}.json`)));

  const seed = { kind: 'volume', pool: 'shared', volume: 'seed', format: 'raw' };
  const build = (image: string, more: Omit<Partial<TaskDefinition>, 'route'> & { route?: object } = {}): WorkflowDefinition => {
    const route = {
      mode: 'bid',
      group: 'agent-gateway',
      windowMs: 500,
      award: 'lowest-cost',
      beginWithinMs: 1_000,
      offers: 5,
      ...more.route,
    };
    const task = {
      ...distributeImage.tasks[0]!,
      input: { image, format: 'raw', sizeMiB: 8, from: seed },
      compensation: { ...distributeImage.tasks[0]!.compensation!, input: { image } },
      heartbeatMs: 1_000,
      ...more,
      route,
    };
    return { name: 'build', version: 1, summary: 'a test', params: {}, tasks: [task as TaskDefinition], deadlineMs: 120_000 };
  };

  beforeAll(async () => {
    fleet = await Fleet.open();
    const { world } = fleet;
    second = await world.start({ heartbeatMs: 500, lostAfterMs: 5_000 });
    admin = await world.token('root', 'fleet');
    workflow = await start({
      databaseUrl: world.database.connectionString,
      bus: { kind: 'embedded' },
      port: 0,
      listen: '127.0.0.1',
      tokenKey: world.key.publicJwk as Record<string, unknown>,
      instance: '1',
      poolSize: 8,
    });
    mkdirSync(join(fleet.dir, 'pool'), { recursive: true });
    writeFileSync(join(fleet.dir, 'pool', 'seed'), Buffer.alloc(3_000_000, 'chrysalis '));
    // h1 is the fastest by what it measured, then h3, at the other gateway; the others never did it.
    for (const [hostId, ms] of [
      ['h1', 50],
      ['h3', 500],
    ] as const) {
      mkdirSync(join(fleet.dir, hostId, 'agent'), { recursive: true });
      writeFileSync(join(fleet.dir, hostId, 'agent', 'history.json'), JSON.stringify({ 'host.build-image': [ms] }));
    }
    await Promise.all(hosts.map((hostId, i) => fleet.host({ hostId, driver: 'simulated', ...(i < 2 ? {} : { gateway: second }) })));
    await until(async () => (await api<{ items: Executor[] }>('GET', '/v1/executors')).items.length >= 4);
  });
  beforeEach(() => fleet.fail({}));
  afterAll(async () => {
    await workflow.stop();
    await fleet.stop();
  });

  test('the registry knows each host: its kinds, labels, capacity and rank', async () => {
    const { items } = await api<{ items: Executor[] }>('GET', '/v1/executors?kind=host.build-image&health=up');
    expect(items.map((e) => [e.executor, e.rank, e.capacity])).toEqual(hosts.map((h) => [`host:${h}`, 0, 4]));
    expect(items[0]).toMatchObject({
      labels: { driver: ['simulated'], host: ['h1'], pool: expect.arrayContaining(['shared']) },
      group: 'agent-gateway',
    });
    expect((await api<{ items: Executor[] }>('GET', '/v1/executors?kind=no.such')).items).toEqual([]);
  });

  test('the cheapest bid has it, whichever gateway it came by; done once', async () => {
    const id = await begin(build('cheap', { route: { windowMs: 2_500 } }));
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    const bids = (await of(id, 'bid.received')) as unknown as (TaskBid & { rank: number })[];
    expect(bids.map((b) => b.executor).sort()).toEqual(hosts.map((h) => `host:${h}`));
    expect(bids.map((b) => b.rank)).toEqual([0, 0, 0, 0]);
    const [award, ...more] = await of(id, 'task.dispatched');
    expect(more).toEqual([]);
    expect(award).toMatchObject({ executor: 'host:h1', beginBy: expect.any(String), heartbeatMs: 1_000 });
    expect((await of(id, 'heartbeat.recorded')).length).toBeGreaterThanOrEqual(1);
    expect(holders('cheap')).toEqual(['h1']);
  });

  test('an award that lapses as its winner stands still is offered anew, done by another, each effect once; the winner loses rank', async () => {
    const h1 = fleet.agents.get('h1')!;
    const id = await begin(build('lapsed', { route: { windowMs: 3_000 } }));
    await until(async () => (await of(id, 'bid.received')).some((b) => b['executor'] === 'host:h1'));
    h1.kill('SIGSTOP');
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    h1.kill('SIGCONT'); // it may find the award in its socket, or come back and be given nothing
    expect((await of(id, 'task.dispatched')).map((d) => d['executor'])).toEqual(['host:h1', 'host:h3']);
    expect((await of(id, 'task.failed')).map((f) => (f['cause'] as { code: string }).code)).toEqual(['workflow.award_lapsed']);
    expect(holders('lapsed')).toEqual(['h3']);
    expect(await until(async () => (await rankOf('h1')) > 0)).toBe(true);

    const next = await begin(build('after', { route: { windowMs: 3_000 } })); // h1 is cheaper, and comes after those that did not fail
    expect(await ended(next)).toMatchObject({ state: 'succeeded' });
    expect((await of(next, 'bid.received')).find((b) => b['executor'] === 'host:h1')).toMatchObject({ rank: 1 });
    expect((await of(next, 'task.dispatched')).map((d) => d['executor'])).toEqual(['host:h3']);
    expect(holders('lapsed')).toEqual(['h3']);
  });

  test('a winner that dies at its work is heard no more; another does it, and what the first left is gone when it is back', async () => {
    fleet.fail({ 'host:image:made': { action: 'delay', ms: 60_000, where: { hostId: 'h3' } } });
    const retry = { attempts: 20, backoffMs: 50, codes: ['workflow.heartbeat_missed'] }; // a busy machine misses beats as well
    const id = await begin(build('dies', { retry, route: { labels: { host: 'h3' }, offers: 100 } })); // until h3 is back
    await until(async () => (await of(id, 'heartbeat.recorded')).length > 0);
    await fleet.kill('h3');
    await until(async () => (await of(id, 'task.failed')).length > 0);
    expect((await of(id, 'task.failed'))[0]).toMatchObject({ cause: { code: 'workflow.heartbeat_missed' }, executor: 'host:h3' });
    fleet.fail({});
    await fleet.start('h3');
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    expect((await of(id, 'task.succeeded')).length).toBe(1);
    expect(holders('dies')).toEqual(['h3']);
  });

  test('where nobody bids it is offered as often as the route says, and fails with its code', async () => {
    const id = await begin(
      build('nobody', { retry: { attempts: 1, backoffMs: 0 }, route: { windowMs: 100, offers: 3, labels: { trait: 'no-such' } } }),
    );
    expect(await ended(id)).toMatchObject({ cause: { code: 'workflow.no_bid' } });
    expect(await of(id, 'task.offered')).toHaveLength(3);
    expect(holders('nobody')).toEqual([]);
  });

  test('bids that nobody may make change nothing: unknown, foreign, unfit, for no offer, after the award', async () => {
    const id = await begin(build('forged', { route: { windowMs: 2_500, labels: { host: 'h2' } } }));
    const [offered] = await until(async () => {
      const found = await of(id, 'task.offered');
      return found.length > 0 && found;
    });
    const say = (executor: string, more: Partial<TaskBid> = {}, type: string = agentGatewayEvents.taskBid.type): Promise<unknown> => {
      const at = new Date().toISOString();
      const data = { workflowId: id, task: 'build', offer: offered!['offer'], executor, cost: 0, free: 9, ready: true, at, ...more };
      const meta = { at, correlationId: id, actor: executor, tenant: 'acme' };
      return fleet.gateway.service.store.append({
        stream: `task-${id}`,
        expected: 'any',
        events: [{ id: fleet.gateway.service.newId(), type, data, meta }],
      });
    };
    await say('host:ghost');
    await say('host:h1'); // not with the label
    await say('host:h2', { offer: 77 });
    await say('host:h2', { task: 'no-such' });
    await say('host:h2', {}, taskBid('provisioning').type); // another service speaks for a host
    expect(await ended(id)).toMatchObject({ state: 'succeeded' });
    await say('host:h2', { cost: 1 });
    await new Promise((done) => setTimeout(done, 300));
    expect((await of(id, 'bid.received')).map((b) => [b['executor'], b['cost'] === 0])).toEqual([['host:h2', false]]);
    expect((await of(id, 'task.dispatched')).map((d) => d['executor'])).toEqual(['host:h2']);
  });

  test('distribute-image: built by bid, fetched by each host; where one fails for good, no host keeps it', async () => {
    const params = { image: 'base', format: 'raw', sizeMiB: 8, pool: 'shared', from: seed, hosts: ['h2', 'h3', 'h4'] };
    const id = await begin(distributeImage, params);
    const view = await ended(id);
    expect(view).toMatchObject({ state: 'succeeded', output: { digest: expect.stringMatching(/^sha256:/) } });
    const { builtBy, digest } = view.output as { builtBy: string; digest: string };
    const with_ = [...new Set([builtBy, 'h2', 'h3', 'h4'])].sort();
    expect(holders('base')).toEqual(with_);
    const sha = (h: string): string =>
      `sha256:${createHash('sha256')
        .update(readFileSync(join(fleet.dir, h, 'images', 'base.img')))
        .digest('hex')}`;
    expect(with_.map(sha)).toEqual(with_.map(() => digest));

    fleet.fail({ 'task:host.transfer-image:after': { action: 'fail', code: 'test.broken', where: { hostId: 'h4' } } });
    const failing = await begin(distributeImage, { ...params, image: 'undone' });
    expect(await ended(failing)).toMatchObject({ state: 'undone', cause: { code: 'test.broken' } });
    expect(holders('undone')).toEqual([]);
  });

  test('save-vm: saved where it runs, copied by hosts that bid, each another one; where no copy comes about, no host keeps any', async () => {
    const spec = {
      vcpus: { now: 1, max: 1 },
      memoryMiB: { now: 256, max: 256 },
      disks: [{ id: 'data', sizeMiB: 16 }],
      nics: [],
      cpuModel: 'Westmere',
      requiredTraits: [],
    };
    const vm = { vmId: 'vm-saved', epoch: 1 };
    const guest = {
      image: { name: 'linux', version: 1, digest: fileDigest('a'), cmdline: '' },
      nics: [],
      pool: 'shared',
      waitForGuest: true,
    };
    await fleet.must(hostTasks.bootVm, 'h2', { ...vm, uuid: randomUUID(), tenant: 'acme', spec, ...guest });
    const bootId = (): string => {
      const path = join(fleet.dir, 'h2', 'simulated', 'vm-saved.json');
      const { state, guest: inside } = JSON.parse(readFileSync(path, 'utf8')) as { state: string; guest: { bootId: string } };
      return `${state} ${inside.bootId}`;
    };
    const before = bootId();
    const params = { ...vm, hostId: 'h2', name: 'kept', pool: 'shared', racks: ['k', 'k'] }; // all hosts of this test are in that one
    const view = await ended(await begin(saveVm, params));
    expect(view).toMatchObject({ state: 'succeeded', output: { digest: expect.stringMatching(/^sha256:/), pausedMs: expect.any(Number) } });
    const { digest, copies } = view.output as { digest: string; copies: { hostId: string; digest: string }[] };
    expect(copies.map((c) => c.digest)).toEqual([digest, digest]);
    expect(holders('kept')).toEqual(['h2', ...copies.map((c) => c.hostId)].sort());
    expect(new Set(holders('kept')).size).toBe(3);
    expect(bootId()).toBe(before);

    // A host that cannot take one has left nothing: another one does.
    fleet.fail({ 'task:host.transfer-image:before': { action: 'fail', code: 'host.disk_short', where: { hostId: 'h1' } } });
    expect(await ended(await begin(saveVm, { ...params, name: 'elsewhere' }))).toMatchObject({ state: 'succeeded' });
    expect(holders('elsewhere')).toEqual(['h2', 'h3', 'h4']);

    fleet.fail({ 'task:host.transfer-image:after': { action: 'fail', code: 'test.broken' } });
    const failing = await begin(saveVm, { ...params, name: 'undone-save', racks: ['k'] });
    expect(await ended(failing)).toMatchObject({ state: 'undone', cause: { code: 'test.broken' } });
    expect(holders('undone-save')).toEqual([]);
    expect(bootId()).toBe(before);
  });
});
