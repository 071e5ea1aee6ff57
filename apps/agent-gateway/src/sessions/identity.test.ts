import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { Identity } from '../../../host-agent/src/identity.ts';
import { dispatch, hello, publish, TestAgent, worldOfTwo, type Gateway, type World } from '../test/harness.ts';

/** Agents with a data directory of their own, as processes have it: a new `Identity` on one directory is a restart. */
describe('who has a host', () => {
  let w: World;
  let one: Gateway;
  let two: Gateway;
  let dir: string;
  const disk = (name: string): string => join(dir, name);
  const events = async (hostId: string): Promise<string[]> =>
    (await w.events(one, `host-agent-${hostId}`)).map((e) => e.type.split('.')[3]!).filter((type) => type !== 'clock-measured');
  const greeting = async (agent: TestAgent, hostId: string, identity: Identity | undefined): Promise<object> => {
    await identity?.ready();
    const said = identity ? { identity: identity.prove(hostId, agent.nonce) } : {};
    return { ...hello(hostId, await w.token(`host:${hostId}`, 'host-agent')), protocol: { min: 1, max: 3 }, ...said };
  };
  const asks = async (gateway: Gateway, hostId: string, identity: Identity | undefined): Promise<TestAgent> => {
    const agent = await TestAgent.open(gateway.agentsUrl);
    agent.send((await greeting(agent, hostId, identity)) as Record<string, unknown>);
    return agent;
  };
  const letIn = async (gateway: Gateway, hostId: string, identity: Identity): Promise<TestAgent> => {
    const agent = await asks(gateway, hostId, identity);
    await agent.next('welcome');
    return agent;
  };
  const refusal = async (gateway: Gateway, hostId: string, identity: Identity | undefined): Promise<string> => {
    const agent = await asks(gateway, hostId, identity);
    const { cause } = await agent.next('refused');
    expect(await agent.closed()).toBe(1008);
    return cause.code;
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'chrysalis-identity-'));
    ({ w, one, two } = await worldOfTwo());
  });
  afterAll(async () => {
    await w.stop();
    await rm(dir, { recursive: true, force: true });
  });

  test('a second agent of a host is refused and told once; the first keeps its session and gets the work', async () => {
    const first = await letIn(one, 'h1', new Identity(disk('h1')));
    const beat = setInterval(() => first.send({ type: 'heartbeat', seq: 1, at: new Date().toISOString(), vms: [] }), 200);
    const copy = new Identity(disk('h1-copy-of-config'));
    for (const gateway of [one, two, one]) expect(await refusal(gateway, 'h1', copy)).toBe('agent.identity_conflict');
    const task = dispatch({ kind: 'host.discard-target', executor: 'host:h1', input: { vmId: 'vm-1', epoch: 2, moveId: 'mov-1' } });
    await publish(two, task);
    expect((await first.next('task')).dispatch.workflowId).toBe(task.workflowId);
    expect(first.closeCode).toBeUndefined();
    expect(await events('h1')).toEqual(['enrolled', 'refused']);
    expect((await w.events(one, 'host-agent-h1'))[1]!.data).toMatchObject({ code: 'agent.identity_conflict', address: '127.0.0.1' });
    expect(await one.service.metrics.metrics()).toMatch(/agents_refused_total\{code="agent.identity_conflict",[^}]*\} 2/);
    clearInterval(beat);
    first.close();
  });

  test('the honest agent is let in at once: again, restarted, at another instance, killed before or after its welcome was kept', async () => {
    const path = disk('h2');
    const process1 = new Identity(path);
    const open = await letIn(one, 'h2', process1); // half open: the gateway has not noticed that it is gone
    await letIn(two, 'h2', process1);
    expect(await open.next('refused')).toMatchObject({ cause: { code: 'agent.replaced' } });
    await letIn(one, 'h2', new Identity(path)); // process1 never kept its welcome
    await new Identity(path).ready(); // killed before it asked
    const process4 = new Identity(path);
    await letIn(two, 'h2', process4);
    await process4.welcomed();
    (await letIn(one, 'h2', new Identity(path))).close();
    expect(await events('h2')).toEqual(['enrolled']);
  });

  test('of two copies of one data directory only the one that was heard first is let in, however often the other starts', async () => {
    const path = disk('h3');
    const original = new Identity(path);
    await letIn(one, 'h3', original);
    await original.welcomed();
    await cp(path, disk('h3-copy'), { recursive: true });
    const restarted = new Identity(path);
    await letIn(two, 'h3', restarted);
    await restarted.welcomed();
    for (let i = 0; i < 3; i++) expect(await refusal(one, 'h3', new Identity(disk('h3-copy')))).toBe('agent.identity_copied');
    (await letIn(one, 'h3', new Identity(path))).close();
  });

  test('a key that is not its own, a hello said again, and none at all are refused', async () => {
    const identity = new Identity(disk('h4'));
    const agent = await TestAgent.open(one.agentsUrl);
    const said = (await greeting(agent, 'h4', identity)) as Record<string, unknown>;
    agent.send(said);
    await agent.next('welcome');
    const overheard = await TestAgent.open(one.agentsUrl);
    overheard.send(said);
    expect(await overheard.next('refused')).toMatchObject({ cause: { code: 'agent.identity_invalid' } });
    expect(await refusal(one, 'h4', undefined)).toBe('agent.identity_missing');
    const old = await TestAgent.open(one.agentsUrl); // of a version that has no identity
    old.send(hello('h4', await w.token('host:h4', 'host-agent')));
    expect(await old.next('refused')).toMatchObject({ cause: { code: 'agent.identity_missing' } });
    expect(agent.closeCode).toBeUndefined();
    agent.close();
  });

  test('of many that come at once for a host that has none, over two instances, one has it', async () => {
    const all = Array.from({ length: 8 }, (_, i) => new Identity(disk(`h5-${i}`)));
    const asked = await Promise.all(all.map((identity, i) => asks(i % 2 ? one : two, 'h5', identity)));
    const answers = await until(async () => asked.every((a) => a.frames.length > 0) && asked.map((a) => a.frames[0]!));
    expect(answers.filter((a) => a.type === 'welcome')).toHaveLength(1);
    asked.forEach((a) => a.close());
  });

  test('a host that was replaced is released from its old agent when that is away, and never goes back to it', async () => {
    const admin = await w.token('ann', 'fleet', '*');
    const release = (hostId: string) => w.api(one, admin, 'POST', `/v1/hosts/${hostId}/release-agent`, { reason: 'its disk was replaced' });
    expect(await release('h6')).toMatchObject({ status: 404, body: { code: 'host-agent.unknown' } });
    const old = await letIn(one, 'h6', new Identity(disk('h6')));
    expect(await release('h6')).toMatchObject({ status: 409, body: { code: 'host-agent.connected' } });
    old.close();
    expect(await refusal(one, 'h6', new Identity(disk('h6-new')))).toBe('agent.identity_conflict');
    await until(async () => (await events('h6')).includes('lost'));
    expect(await release('h6')).toMatchObject({ status: 200, body: { hostId: 'h6' } });
    (await letIn(two, 'h6', new Identity(disk('h6-new')))).close();
    expect(await refusal(one, 'h6', new Identity(disk('h6')))).toBe('agent.identity_released');
    expect((await events('h6')).filter((e) => e !== 'lost')).toEqual(['enrolled', 'refused', 'released', 'enrolled', 'refused']);
  });
});
