import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { until } from '@chrysalis/testing';
import { sweepLost } from './liveness.ts';
import { TestAgent, world, type Gateway, type World } from '../test/harness.ts';

describe('lost, and back', () => {
  let w: World;
  let gateway: Gateway;
  const enrolments = async (hostId: string): Promise<string[]> =>
    (await w.events(gateway, `host-agent-${hostId}`)).map((e) => e.type.split('.')[3]!).filter((type) => type !== 'clock-measured');
  beforeAll(async () => {
    w = await world();
    gateway = await w.start({ lostAfterMs: 600_000 }); // its own sweep stays out of the way
  });
  afterAll(() => w.stop());

  test('a host that comes back while it is found lost is enrolled anew, whichever comes first', async () => {
    const { pool, store } = gateway.service;
    const token = await w.token('host:h15', 'host-agent');
    (await TestAgent.of(gateway, 'h15', token)).close();
    await pool.query(`update agent_gateway.agent_sessions set last_seen = now() - interval '1 minute' where host_id = 'h15'`);
    // The sweep's transaction stands still between its first statement and its events.
    const marked = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const slow: typeof store.transaction = (work, options) =>
      store.transaction(async (tx) => {
        const query = tx.query.bind(tx) as (...args: unknown[]) => Promise<unknown>;
        const first = async (...args: unknown[]): Promise<unknown> => {
          const found = await query(...args);
          Object.assign(tx, { query });
          marked.resolve();
          await goOn.promise;
          return found;
        };
        Object.assign(tx, { query: first });
        return work(tx);
      }, options);
    const sweeping = sweepLost(
      { ...gateway.service, store: { append: store.append.bind(store), transaction: slow } as typeof store },
      30_000,
    );
    await marked.promise;
    let connected = false;
    const back = TestAgent.of(gateway, 'h15', token).finally(() => (connected = true));
    await until(async () => (await pool.query(`select from pg_locks where not granted`)).rowCount! > 0 || connected);
    goOn.resolve();
    await sweeping;
    const agent = await back;
    expect(await enrolments('h15')).toEqual(['enrolled', 'lost', 'enrolled']);
    expect(agent.closeCode).toBeUndefined();
    agent.close();
  });

  test('a host whose heartbeats stop is lost, once, and enrols anew when it is back', async () => {
    const { pool } = gateway.service;
    const agent = await TestAgent.of(gateway, 'h10', await w.token('host:h10', 'host-agent'));
    const silentFor = (minutes: number) =>
      pool.query(`update agent_gateway.agent_sessions set last_seen = now() - $1 * interval '1 minute' where host_id = 'h10'`, [minutes]);
    const fresh = `select from agent_gateway.agent_sessions where host_id = 'h10' and last_seen > now() - interval '1 minute'`;
    await silentFor(5);
    agent.send({ type: 'heartbeat', seq: 1, at: new Date().toISOString(), vms: [] });
    await until(async () => (await pool.query(fresh)).rowCount === 1);
    await sweepLost(gateway.service, 120_000);
    expect(await enrolments('h10')).toEqual(['enrolled']);
    await silentFor(20);
    const sweeping = await w.start({ lostAfterMs: 1_000 });
    await until(async () => (await enrolments('h10')).includes('lost'));
    w.gateways.splice(w.gateways.indexOf(sweeping), 1);
    await sweeping.stop();
    await sweepLost(gateway.service, 120_000);
    agent.close();
    (await TestAgent.of(gateway, 'h10', await w.token('host:h10', 'host-agent'))).close();
    expect(await enrolments('h10')).toEqual(['enrolled', 'lost', 'enrolled']);
  });

  test('200 agents that come at once are all welcomed, and say one event each', async () => {
    const tokens = await Promise.all(Array.from({ length: 200 }, (_, i) => w.token(`host:s${i}`, 'host-agent')));
    const open = async (i: number): Promise<TestAgent> => {
      for (let attempt = 0; ; attempt++)
        try {
          return await TestAgent.of(gateway, `s${i}`, tokens[i]!);
        } catch (error) {
          if (attempt === 5) throw error;
          await new Promise((done) => setTimeout(done, 100 * 2 ** attempt));
        }
    };
    const storm = async (): Promise<void> => (await Promise.all(tokens.map((_, i) => open(i)))).forEach((a) => a.close());
    await storm();
    await storm();
    expect(await enrolments('s0')).toEqual(['enrolled']);
    expect(await enrolments('s199')).toEqual(['enrolled']);
  });
});
