import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from 'node:net';
import { workflowEvents } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import fc from 'fast-check';
import { Registry } from 'prom-client';
import type { Connection } from './connection.ts';
import { Hub } from './hub.ts';
import { dispatch, hello, publish, say, TestAgent, worldOfTwo, type Gateway, type World } from '../test/harness.ts';

/** What comes back for an upgrade that no client library would ask for. */
const upgradeAnswer = (port: number, path: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = '';
    const headers = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n';
    const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\n${headers}`));
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });

describe('sessions and delivery', () => {
  let w: World;
  let one: Gateway;
  let two: Gateway;
  const agentToken = (hostId: string): Promise<string> => w.token(`host:${hostId}`, 'host-agent');
  const unplug = (hostId: string) =>
    dispatch({ kind: 'host.discard-target', executor: `host:${hostId}`, input: { vmId: 'vm-1', epoch: 2, moveId: 'mov-1' } });
  const reportOf = (task: ReturnType<typeof unplug>, more: object = {}) => {
    const { workflowId, task: name, action, attempt, token, executor } = task;
    const at = new Date().toISOString();
    return {
      type: 'report' as const,
      report: {
        workflowId,
        task: name,
        action,
        attempt,
        token,
        executor,
        outcome: { ok: true as const, output: {} },
        startedAt: at,
        endedAt: at,
        ...more,
      },
    };
  };
  const enrolments = async (hostId: string): Promise<string[]> =>
    (await w.events(one, `host-agent-${hostId}`)).map((e) => e.type.split('.')[3]!).filter((type) => type !== 'clock-measured');

  beforeAll(async () => {
    ({ w, one, two } = await worldOfTwo({ lostAfterMs: 600_000 })); // who is slow here is not lost
  });
  afterAll(() => w.stop());

  test('a hello is answered, and enrols the host with its facts once', async () => {
    const agent = await TestAgent.of(one, 'h1', await agentToken('h1'));
    expect(await agent.next('welcome')).toMatchObject({ protocol: 1, heartbeatMs: 200 });
    expect(await w.events(one, 'host-agent-h1')).toMatchObject([{ data: { hostId: 'h1', facts: { cpuModels: ['Westmere'] } } }]);
    agent.close();
    const again = await TestAgent.of(two, 'h1', await agentToken('h1'));
    expect(await enrolments('h1')).toEqual(['enrolled']);
    again.close();
  });

  test.each([
    ['a foreign host', async () => ({ ...hello('h9', await agentToken('h8')) }), 'agent.foreign_host'],
    ['a token without the role', async () => hello('h9', await w.token('host:h9', 'operator')), 'agent.token_invalid'],
    ['a forged token', async () => hello('h9', `${await agentToken('h9')}x`), 'agent.token_invalid'],
    [
      'a protocol from the future',
      async () => ({ ...hello('h9', await agentToken('h9')), protocol: { min: 7, max: 9 } }),
      'agent.protocol_unsupported',
    ],
    ['facts of another host', async () => ({ ...hello('h9', await agentToken('h9')), facts: hello('h8', '').facts }), 'agent.foreign_host'],
  ])('%s is refused, and nothing is recorded', async (_, frame, code) => {
    const agent = await TestAgent.open(one.agentsUrl);
    agent.send(await frame());
    expect(await agent.next('refused')).toMatchObject({ cause: { code } });
    expect(await agent.closed()).toBe(1008);
    expect(await enrolments('h9')).toEqual([]);
  });

  test('a newer connection takes the session, also from another instance', async () => {
    const older = await TestAgent.of(one, 'h2', await agentToken('h2'));
    const newer = await TestAgent.of(two, 'h2', await agentToken('h2'));
    expect(await older.next('refused')).toMatchObject({ cause: { code: 'agent.replaced' } });
    newer.close();
  });

  test('a task reaches its host through whichever instance holds it, and its report is an event exactly once', async () => {
    const agent = await TestAgent.of(two, 'h3', await agentToken('h3'));
    const task = unplug('h3');
    await publish(one, task);
    await publish(one, task); // the bus says everything at least once
    const { dispatch: got } = await agent.next('task');
    expect(got).toMatchObject({ workflowId: task.workflowId, token: 1, input: { vmId: 'vm-1' } });
    for (let i = 0; i < 3; i++) agent.send(reportOf(task));
    await agent.next('report-ack', 3);
    expect(await w.events(one, `task-${task.workflowId}`)).toMatchObject([{ data: { outcome: { ok: true } } }]);
    agent.close();
  });

  test('what was not reported is delivered again after a reconnect, and not after its report', async () => {
    const task = unplug('h4');
    await publish(one, task); // before the host is there at all
    const first = await TestAgent.of(one, 'h4', await agentToken('h4'));
    await first.next('task');
    first.close();
    const second = await TestAgent.of(two, 'h4', await agentToken('h4'));
    await second.next('task');
    second.send(reportOf(task));
    await second.next('report-ack');
    second.close();
    const third = await TestAgent.of(one, 'h4', await agentToken('h4'));
    const behind = unplug('h4');
    await publish(one, behind);
    await third.next('task');
    expect(third.frames.flatMap((f) => (f.type === 'task' ? [f.dispatch.workflowId] : []))).toEqual([behind.workflowId]);
    third.close();
  });

  test('what no event can hold, as any script in a guest may write it, is kept with U+FFFD in its place; the host goes on', async () => {
    const agent = await TestAgent.of(one, 'h14', await agentToken('h14'));
    const task = unplug('h14');
    await publish(one, task);
    await agent.next('task');
    const cause = { code: 'guest.script_failed', message: 'a \0 and half a \ud83d', detail: { '\0': ['\udca9'] } };
    agent.send(reportOf(task, { outcome: { ok: false, cause } }));
    await agent.next('report-ack');
    const [reported] = await w.events(one, `task-${task.workflowId}`);
    expect((reported!.data as { outcome: unknown }).outcome).toEqual({
      ok: false,
      cause: { code: 'guest.script_failed', message: 'a \uFFFD and half a \uFFFD', detail: { '\uFFFD': ['\uFFFD'] } },
    });
    const next = unplug('h14');
    await publish(one, next);
    expect((await agent.next('task', 2)).dispatch.workflowId).toBe(next.workflowId);
    agent.close();
  });

  test('a task past its deadline is withdrawn', async () => {
    const agent = await TestAgent.of(one, 'h5', await agentToken('h5'));
    const task = { ...unplug('h5'), deadlineAt: new Date(Date.now() + 300).toISOString() };
    await publish(one, task);
    await agent.next('task');
    expect(await agent.next('cancel')).toMatchObject({ workflowId: task.workflowId, task: 'step' });
    agent.close();
  });

  test('a session forgets what it was sent when that has ended, however it ended', async () => {
    const agent = await TestAgent.of(one, 'h17', await agentToken('h17'));
    const remembered = async (): Promise<number> =>
      Number(/ (\d+)\s*$/.exec(await one.service.metrics.getSingleMetricAsString('chrysalis_agent_gateway_tasks_sent'))![1]);
    const late = { ...unplug('h17'), deadlineAt: new Date(Date.now() + 1_000).toISOString() };
    const withdrawn = unplug('h17');
    const open = unplug('h17');
    for (const task of [late, withdrawn, open]) await publish(one, task);
    await agent.next('task', 3);
    const { workflowId, task, attempt, executor } = withdrawn;
    const cause = { code: 'workflow.heartbeat_missed', message: 'm', retriable: true };
    const failed = { workflowId, task, attempt, executor, cause, final: true, at: new Date().toISOString() };
    await say(one, workflowEvents.taskFailed.type, failed);
    await agent.next('cancel', 2);
    await until(async () => (await remembered()) === 1);
    agent.send(reportOf(open));
    await agent.next('report-ack');
    await until(async () => (await remembered()) === 0);
    agent.close();
  });

  test("another host's task can't be reported, and an output of another shape is a failure", async () => {
    const agent = await TestAgent.of(one, 'h6', await agentToken('h6'));
    const thief = await TestAgent.of(one, 'h7', await agentToken('h7'));
    const task = dispatch({ kind: 'host.confirm-target', executor: 'host:h6', input: {} });
    await publish(one, task);
    await agent.next('task');
    thief.send(reportOf(task));
    expect(await thief.next('refused')).toMatchObject({ cause: { code: 'agent.foreign_task' } });
    expect(await w.events(one, `task-${task.workflowId}`)).toEqual([]);
    agent.send(reportOf(task));
    await agent.next('report-ack');
    expect(await w.events(one, `task-${task.workflowId}`)).toMatchObject([
      { data: { outcome: { ok: false, cause: { code: 'host.output_invalid' } } } },
    ]);
    agent.close();
  });

  test('peer frames find the other host at another instance', async () => {
    const a = await TestAgent.of(one, 'pa', await agentToken('pa'));
    const b = await TestAgent.of(two, 'pb', await agentToken('pb'));
    const request = { type: 'probe' as const, moveId: 'mov-1', vmId: 'vm-1', newEpoch: 2, peerToken: 'pb.x' };
    a.send({ type: 'peer-request', id: 'q1', toHost: 'pb', request });
    expect(await b.next('peer-request')).toEqual({ type: 'peer-request', id: 'q1', fromHost: 'pa', request });
    b.send({ type: 'peer-answer', id: 'q1', toHost: 'pa', answer: { type: 'waiting' } });
    expect(await a.next('peer-answer')).toMatchObject({ id: 'q1', fromHost: 'pb', answer: { type: 'waiting' } });
    a.close();
    b.close();
  });

  test('a connection that ends while it is enrolled leaves no session that would swallow what is sent to its host', async () => {
    const hub = new Hub({ ...one.service, metrics: new Registry() }, 200);
    const given = { nonce: '', address: '127.0.0.1' };
    const connection = { id: 'c-16', ended: false, from: given, send: () => undefined, refuse: () => undefined, end: () => undefined };
    const opening = hub.hello(connection as unknown as Connection, hello('h16', await agentToken('h16')));
    connection.ended = true;
    hub.closed(connection as unknown as Connection);
    expect([await opening, hub.size]).toEqual([false, 0]);
    const elsewhere = await TestAgent.of(two, 'h16', await agentToken('h16'));
    await hub.send('h16', { type: 'cancel', workflowId: 'w', task: 't', token: 1 });
    expect(await elsewhere.next('cancel')).toMatchObject({ workflowId: 'w' });
    elsewhere.close();
  });

  test('a frame above 1 MiB is refused by its code', async () => {
    const agent = await TestAgent.of(one, 'h11', await agentToken('h11'));
    agent.send(JSON.stringify({ type: 'heartbeat', pad: 'x'.repeat(1_048_577) }));
    expect(await agent.next('refused')).toMatchObject({ cause: { code: 'agent.frame_too_large' } });
    expect(await agent.closed()).toBe(1009);
  });

  test('whatever else comes is refused, and the gateway goes on', async () => {
    const token = await agentToken('h12');
    const said = `select count(*) from agent_gateway.events where type not like '%.host-agent.%'`;
    const before = await one.service.pool.query(said);
    await TestAgent.of(one, 'h12', token).then((a) => a.close());
    const frame = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({
          type: fc.constantFrom('report', 'heartbeat', 'progress', 'peer-request', 'hello', 'x'),
          seq: fc.anything(),
          report: fc.anything(),
          vms: fc.anything(),
        })
        .map((x) => JSON.stringify(x)),
    );
    await fc.assert(
      fc.asyncProperty(frame, fc.boolean(), async (text, greeted) => {
        const agent = greeted ? await TestAgent.of(one, 'h12', token) : await TestAgent.open(one.agentsUrl);
        agent.send(text);
        const { cause } = await agent.next('refused');
        expect(cause.code).toMatch(/^agent\.(frame_malformed|hello_missing|hello_repeated)$/);
        expect(await agent.closed()).toBe(1008);
      }),
      { numRuns: 60 },
    );
    const after = await one.service.pool.query(said);
    expect(after.rows).toEqual(before.rows);
  });

  test('an upgrade of any path is answered with a problem, and ends no process', async () => {
    const { port } = new URL(one.agentsUrl);
    for (const path of ['//[', 'http://[', '*', '/v1/agentsx', '/v1/agents/../x'])
      expect(await upgradeAnswer(Number(port), path)).toMatch(/^HTTP\/1\.1 40[04] [^]*application\/problem\+json[^]*"code":"/);
    const plain = await fetch(one.agentsUrl.replace('ws:', 'http:'));
    expect([plain.status, ((await plain.json()) as { code: string }).code]).toEqual([426, 'agent.upgrade_required']);
    (await TestAgent.of(one, 'h12', await agentToken('h12'))).close();
  });
});
