/**
 * What the queue in front costs a start. Run by hand, with nothing else on the machine:
 *   node --import ./tools/node/register.mjs apps/workflow/src/test/start-latency.ts [rounds]
 * In turn, so that noise falls on all alike: by an event and over HTTP, without limits and with limits that nobody reaches.
 */
process.env['CHRYSALIS_LOG'] ??= 'silent';
const { issueToken, newSigningKey } = await import('@chrysalis/service-kit');
const { v7: uuidv7 } = await import('uuid');
const { startPostgres } = await import('../../../../infra/postgres/launcher.ts');
const { DatabaseClock } = await import('../engine/clock.ts');
const { Engine } = await import('../engine/engine.ts');
const { start } = await import('../main.ts');
const { Pump } = await import('../queue/pump.ts');
const { step, workflow } = await import('./definitions.ts');

const rounds = Number(process.argv[2] ?? 300);
const far = { overall: { running: 1_000_000 }, perTenant: { running: 1_000_000 } };

const postgres = await startPostgres();
const key = await newSigningKey();
const running = await start({
  databaseUrl: postgres.connectionString,
  bus: { kind: 'embedded' },
  port: 0,
  listen: '127.0.0.1',
  tokenKey: key.publicJwk as Record<string, unknown>,
  instance: '1',
  poolSize: 8,
});
const token = await issueToken(key.privateJwk, { sub: 'anna', roles: ['admin', 'fleet'], tenant: 'acme' });
const send = async (method: string, path: string, body: object): Promise<void> => {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': uuidv7() };
  const response = await fetch(`${running.url}${path}`, { method, headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  await response.text();
};
try {
  const { service } = running;
  // Executors are not there: tasks are given out and nobody answers. What is measured ends with the commit of the start.
  const definition = workflow([step('a', 'alpha')], { name: 'bare' });
  const { version: _, ...template } = definition;
  await send('POST', '/v1/workflow-templates', { definition: template });
  const clock = new DatabaseClock();
  const before = clock.local();
  const { rows } = await service.pool.query<{ now: number }>(`select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`);
  clock.read(rows[0]!.now, before, clock.local());
  const engine = new Engine({ store: service.store, clock });
  const pump = new Pump(service, engine);
  const job = () => {
    const workflowId = `op-${uuidv7()}`;
    const request = { workflowId, definition, params: {}, subject: 'vm-1' };
    return { workflowId, command: { type: 'start' as const, request, tenant: 'acme' }, actor: 'service:test' };
  };
  const ways: Record<string, () => Promise<unknown>> = {
    'engine alone': () => engine.submit(job()),
    'by an event': () => pump.submit(job()),
    'over HTTP': () => send('POST', '/v1/workflows', { template: 'bare@1' }),
  };
  const taken: Record<string, number[]> = {};
  for (let turn = 0; turn < 6; turn++) {
    const limits = turn % 2 === 0 ? {} : far;
    await send('PUT', '/v1/workflow-limits', limits);
    await pump.reload();
    for (let i = 0; i < rounds / 3; i++)
      for (const [name, run] of Object.entries(ways)) {
        const began = performance.now();
        await run();
        (taken[`${name}, ${turn % 2 === 0 ? 'no limits' : 'limits far off'}`] ??= []).push(performance.now() - began);
      }
  }
  for (const [name, list] of Object.entries(taken)) {
    const sorted = list.toSorted((a, b) => a - b);
    const at = (q: number): string => sorted[Math.floor((sorted.length - 1) * q)]!.toFixed(2).padStart(7);
    console.log(`${name.padEnd(30)} n ${sorted.length}  p50 ${at(0.5)} ms  p90 ${at(0.9)} ms  p99 ${at(0.99)} ms`);
  }
} finally {
  await running.stop();
  await postgres.stop();
}
