import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { workflowEvents, type TaskBid, type TaskDispatch, type TaskHeartbeat, type TaskOffer } from '@chrysalis/contracts';
import { until } from '@chrysalis/testing';
import {
  bidderHello,
  dispatch,
  offer,
  publish,
  publishOffer,
  say,
  TestAgent,
  worldOfTwo,
  type Gateway,
  type World,
} from '../test/harness.ts';

describe('offers, bids and heartbeats over the channel', () => {
  let w: World;
  let one: Gateway;
  let two: Gateway;
  const token = (hostId: string): Promise<string> => w.token(`host:${hostId}`, 'host-agent');
  const bidder = async (gateway: Gateway, hostId: string, kinds?: string[]): Promise<TestAgent> =>
    TestAgent.of(gateway, hostId, '', bidderHello(hostId, await token(hostId), kinds));
  const bidOf = (o: TaskOffer, hostId: string, more: Partial<TaskBid> = {}): { type: 'bid'; bid: TaskBid } => {
    const { workflowId, task, offer: n } = o;
    const at = '2001-01-01T00:00:00.000Z';
    return { type: 'bid', bid: { workflowId, task, offer: n, executor: `host:${hostId}`, cost: 10, free: 1, ready: true, at, ...more } };
  };
  const beatOf = (t: TaskDispatch, more: Partial<TaskHeartbeat> = {}): { type: 'task-heartbeat'; heartbeat: TaskHeartbeat } => {
    const { workflowId, task, action, attempt, token, executor } = t;
    return {
      type: 'task-heartbeat',
      heartbeat: { workflowId, task, action, attempt, token, executor, at: '2001-01-01T00:00:00.000Z', ...more },
    };
  };
  const said = async (workflowId: string): Promise<string[]> =>
    (await w.events(one, `task-${workflowId}`)).map((e) => e.type.split('.').slice(2, 4).join('.'));
  const offersOf = (agent: TestAgent, o: TaskOffer): TaskOffer[] =>
    agent.frames.flatMap((f) => (f.type === 'offer' && f.offer.workflowId === o.workflowId ? [f.offer] : []));
  const offered = (agent: TestAgent, o: TaskOffer): Promise<unknown> => until(async () => offersOf(agent, o).length > 0);
  const over = (o: TaskOffer): Promise<unknown> => until(async () => Date.now() > Date.parse(o.closesAt) + 100);

  /** All that was offered of this workflow has been told at both instances: of one key, what comes later is told later. */
  const settled = async (workflowId: string, agents: readonly TestAgent[]): Promise<void> => {
    const kind = 'host.transfer-vm'; // that no other agent runs
    const last = offer({ workflowId, task: 'last', kind });
    const witnesses = [await bidder(one, 'w1', [kind]), await bidder(two, 'w2', [kind])];
    await publishOffer(one, last);
    for (const witness of witnesses) await offered(witness, last);
    await Promise.all([...agents, ...witnesses].map(echo));
    for (const witness of witnesses) witness.close();
  };
  /** What its gateway sent it before is there: a channel keeps its order. */
  const echo = async ({ socket }: TestAgent): Promise<void> => {
    const pong = once(socket, 'pong');
    socket.ping();
    await pong;
  };

  beforeAll(async () => {
    ({ w, one, two } = await worldOfTwo({ lostAfterMs: 60_000 })); // these agents say nothing of themselves, however long a test takes
  });
  afterAll(() => w.stop());

  test('an offer reaches the agents of every instance that run its kind and bear its labels, and no others', async () => {
    const fit = [await bidder(one, 'b1'), await bidder(two, 'b2')];
    const unfit = [
      await bidder(one, 'b3', ['host.transfer-image']),
      await TestAgent.of(two, 'b4', await token('b4')), // of version 1
    ];
    const asked = offer({ labels: { driver: 'simulated', pool: 'local' } });
    await publishOffer(one, asked);
    for (const agent of fit) await offered(agent, asked);
    await publishOffer(one, asked); // the bus says everything at least once
    const { workflowId } = asked;
    await publishOffer(one, offer({ workflowId, task: 'other', labels: { driver: 'qemu' } }));
    await publishOffer(one, offer({ workflowId, task: 'another', labels: { trait: 'no-such' } }));
    await settled(workflowId, [...fit, ...unfit]);
    expect(fit.flatMap((a) => a.frames.filter((f) => f.type === 'offer').map((f) => f.offer))).toEqual([asked, asked]);
    expect(unfit.flatMap((a) => a.frames.filter((f) => f.type === 'offer'))).toEqual([]);
    for (const agent of [...fit, ...unfit]) agent.close();
  });

  test('who connects while a window is open is offered it; an offer whose window is over is sent to nobody', async () => {
    const open = offer();
    const { workflowId } = open;
    const late = offer({ workflowId, task: 'late', closesAt: new Date(Date.now() - 10).toISOString() });
    await publishOffer(one, open);
    await publishOffer(one, late);
    const short = offer({ workflowId, task: 'short', closesAt: new Date(Date.now() + 400).toISOString() });
    await publishOffer(one, short);
    await over(short);
    const agent = await bidder(two, 'b5');
    await offered(agent, open);
    await settled(workflowId, [agent]);
    expect(offersOf(agent, open)).toEqual([open]);
    agent.close();
  });

  test('a bid is an event, once an offer, with the name and the time of who took it', async () => {
    const [first, second] = [await bidder(one, 'b6'), await bidder(two, 'b7')];
    const [asked, next] = [offer(), offer()];
    for (const o of [asked, next]) {
      await publishOffer(two, o);
      await offered(first, o);
      await offered(second, o);
    }
    first.send(bidOf(asked, 'b6'));
    first.send(bidOf(asked, 'b6', { cost: 1 }));
    first.send(bidOf(next, 'b6')); // what one says is kept in its order
    second.send(bidOf(asked, 'b7', { cost: 7 }));
    const events = await until(async () => {
      const found = await w.events(one, `task-${asked.workflowId}`);
      return found.length >= 2 && found;
    });
    await until(async () => (await said(next.workflowId)).length > 0);
    expect(await said(asked.workflowId)).toEqual(['task.bid', 'task.bid']);
    expect(events.map((e) => e.data).sort((a, b) => Number(b['cost']) - Number(a['cost']))).toMatchObject([
      { executor: 'host:b6', cost: 10, offer: 1 },
      { executor: 'host:b7', cost: 7 },
    ]);
    expect(Date.parse(String(events[0]!.data['at']))).toBeGreaterThan(Date.now() - 60_000);
    first.close();
    second.close();
  });

  test('a bid for what was never offered, or is closed, changes nothing', async () => {
    const agent = await bidder(one, 'b8');
    const never = offer();
    const closed = offer({ closesAt: new Date(Date.now() + 300).toISOString() });
    await publishOffer(one, closed);
    await offered(agent, closed);
    await over(closed);
    const open = offer();
    await publishOffer(one, open);
    await offered(agent, open);
    agent.send(bidOf(never, 'b8'));
    agent.send(bidOf(closed, 'b8'));
    agent.send(bidOf(open, 'b8'));
    await until(async () => (await said(open.workflowId)).length > 0);
    expect([await said(never.workflowId), await said(closed.workflowId)]).toEqual([[], []]);
    expect(agent.closeCode).toBeUndefined();
    agent.close();
  });

  test.each([
    ['in the name of another', (o: TaskOffer) => bidOf(o, 'b6'), 'agent.foreign_executor', 1008],
    ['of a negative cost', (o: TaskOffer) => bidOf(o, 'b9', { cost: -1 }), 'agent.frame_malformed', 1008],
    ['without an end', (o: TaskOffer) => bidOf(o, 'b9', { executor: 'x'.repeat(2_000_000) }), 'agent.frame_too_large', 1009],
    ['before a hello', undefined, 'agent.hello_missing', 1008],
  ])('a bid %s is refused, and nothing is recorded', async (_, frame, code, closeCode) => {
    const asked = offer();
    const agent = frame ? await bidder(one, 'b9') : await TestAgent.open(one.agentsUrl);
    await publishOffer(one, asked);
    if (frame) await offered(agent, asked);
    agent.send(frame?.(asked) ?? bidOf(asked, 'b9'));
    expect(await agent.next('refused')).toMatchObject({ cause: { code } });
    expect(await agent.closed()).toBe(closeCode);
    expect(await said(asked.workflowId)).toEqual([]);
  });

  test('an agent of version 1 has nothing to say of bids', async () => {
    const agent = await TestAgent.of(one, 'b10', await token('b10'));
    agent.send(bidOf(offer(), 'b10'));
    expect(await agent.next('refused')).toMatchObject({ cause: { code: 'agent.frame_unexpected' } });
    await agent.closed();
  });

  test('a host asks another one where an image is; one of version 1 is not asked', async () => {
    const [asking, asked, old] = [await bidder(one, 'b16'), await bidder(two, 'b17'), await TestAgent.of(two, 'b18', await token('b18'))];
    const request = { type: 'image' as const, image: 'base', digest: `sha256:${'a'.repeat(64)}` };
    asking.send({ type: 'peer-request', id: 'q1', toHost: 'b18', request });
    asking.send({ type: 'peer-request', id: 'q2', toHost: 'b17', request });
    expect(await asked.next('peer-request')).toEqual({ type: 'peer-request', id: 'q2', fromHost: 'b16', request });
    await echo(old);
    expect([old.frames.filter((f) => f.type === 'peer-request'), old.closeCode]).toEqual([[], undefined]);
    for (const agent of [asking, asked, old]) agent.close();
  });

  test('who floods is heard no longer; others are', async () => {
    const [loud, calm] = [await bidder(one, 'b11'), await bidder(one, 'b12')];
    const asked = offer({ closesAt: new Date(Date.now() + 20_000).toISOString() });
    await publishOffer(one, asked);
    await offered(calm, asked);
    for (let i = 0; i < 12_000; i++) loud.send(bidOf(asked, 'b11', { offer: 2 + i }));
    calm.send(bidOf(asked, 'b12'));
    await until(async () => (await said(asked.workflowId)).length === 1);
    expect(await loud.next('refused')).toMatchObject({ cause: { code: 'agent.flooding' } });
    expect(await said(asked.workflowId)).toEqual(['task.bid']);
    calm.close();
  });

  test('a heartbeat of a task under way is an event with its token; of a foreign, ended or unknown one it is none', async () => {
    const [agent, thief] = [await bidder(one, 'b13'), await bidder(two, 'b14')];
    const given = dispatch({ kind: 'host.build-image', executor: 'host:b13', input: {}, token: 5 });
    await publish(one, given);
    await agent.next('task');
    agent.send(beatOf(given, { token: 99 }));
    const [event] = await until(async () => {
      const found = await w.events(one, `task-${given.workflowId}`);
      return found.length > 0 && found;
    });
    expect(event).toMatchObject({ type: 'chrysalis.agent-gateway.task.heartbeat.v1', data: { executor: 'host:b13', token: 5 } });
    thief.send(beatOf(given, { executor: 'host:b14' }));
    expect(await thief.next('refused')).toMatchObject({ cause: { code: 'agent.foreign_task' } });
    const unknown = dispatch({ kind: 'host.build-image', executor: 'host:b13', input: {} });
    agent.send(beatOf(unknown));
    agent.send(beatOf(given));
    await until(async () => (await said(given.workflowId)).length > 1);
    expect([(await said(given.workflowId)).length, (await said(unknown.workflowId)).length]).toEqual([2, 0]);
    agent.close();
  });

  test('what failed in the eyes of the workflow is withdrawn: not delivered any more, and stopped where it was', async () => {
    const agent = await bidder(two, 'b15');
    const given = dispatch({ kind: 'host.build-image', executor: 'host:b15', input: {}, token: 8 });
    await publish(one, given);
    await agent.next('task');
    const { workflowId, task, attempt, executor } = given;
    const cause = { code: 'workflow.award_lapsed', message: 'it did not begin' };
    await say(one, workflowEvents.taskFailed.type, { workflowId, task, attempt, executor, cause, final: false } as { workflowId: string });
    expect(await agent.next('cancel')).toEqual({ type: 'cancel', workflowId, task, token: 8 });
    agent.close();
    const again = await bidder(one, 'b15');
    const next = dispatch({ kind: 'host.build-image', executor: 'host:b15', input: {}, workflowId, task: 'next' });
    await publish(one, next);
    await again.next('task');
    expect(again.frames.flatMap((f) => (f.type === 'task' ? [f.dispatch.task] : []))).toEqual(['next']);
    again.close();
  });

  test('who cancels a workflow stops its transfer and nothing else; one that keeps what is done stops nothing', async () => {
    const agent = await bidder(two, 'b16');
    const transfer = dispatch({ kind: 'host.transfer', executor: 'host:b16', input: {}, token: 9 });
    const { workflowId, task } = transfer;
    const beside = dispatch({ kind: 'host.build-image', executor: 'host:b16', input: {}, workflowId, task: 'beside' });
    const other = dispatch({ kind: 'host.transfer', executor: 'host:b16', input: {} });
    for (const given of [transfer, beside, other]) await publish(one, given);
    for (let i = 0; i < 3; i++) await agent.next('task');
    await say(one, workflowEvents.cancelRequested.type, { workflowId: other.workflowId, reason: 'enough', compensate: false } as { workflowId: string }); // prettier-ignore
    await say(one, workflowEvents.cancelRequested.type, { workflowId, reason: 'not now' } as { workflowId: string });
    expect(await agent.next('cancel')).toEqual({ type: 'cancel', workflowId, task, token: 9 });
    expect(agent.frames.filter((f) => f.type === 'cancel')).toHaveLength(1);
    agent.close();
  });
});
