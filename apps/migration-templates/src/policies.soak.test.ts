import { execFile, fork, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { facts, small } from '@chrysalis/migration-templates-core/testing';
import type { RunningService, ServiceConfig } from '@chrysalis/service-kit';
import { openFleet } from './test/fleet.ts';

// From `chrysalis host retire` to an empty host, through every service as it is. Two workflow services are processes and get killed; hosts
// and guests are a model.

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const node = path('../../../node_modules/node/bin/node');
const loader = ['--disable-warning=ExperimentalWarning', '--import', path('../../../tools/node/register.mjs')];

let fleet: Awaited<ReturnType<typeof openFleet>>;
let directory: string;
let rules: string;
let admin: RunningService;
let port: number;
const children: ChildProcess[] = [];
const deaths = [0, 0];
let over = false;

/** One of the two workflow services, begun anew whenever it ends. */
const supervise = (place: 0 | 1): void => {
  const config: ServiceConfig = { ...fleet.config, instance: String(place), port: place === 0 ? port : 0 };
  const child = fork(path('../../workflow/src/main.ts'), {
    execPath: node,
    execArgv: loader.slice(1),
    env: { ...process.env, CHRYSALIS_CONFIG: JSON.stringify(config), CHRYSALIS_FAILPOINTS: rules },
    stdio: 'ignore',
  });
  children[place] = child;
  child.once('exit', () => {
    if (over) return;
    deaths[place]!++;
    supervise(place);
  });
};
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as AddressInfo;
      server.close(() => resolve(free));
    });
  });
const load = async (app: string): Promise<(c: ServiceConfig) => Promise<RunningService>> =>
  ((await import(`../../${app}/src/main.ts`)) as { start: (c: ServiceConfig) => Promise<RunningService> }).start;

const chrysalis = async (...args: string[]): Promise<string> => {
  const env = { ...process.env, CHRYSALIS_SERVER: admin.url, CHRYSALIS_TOKEN: await fleet.tokenOf('acme', 'admin'), NODE_OPTIONS: '' };
  return new Promise((resolve, reject) =>
    execFile(node, [...loader, path('../../cli/src/main.ts'), ...args], { env }, (error, stdout, stderr) =>
      error ? reject(new Error(`${args.join(' ')}: ${stderr}`)) : resolve(stdout),
    ),
  );
};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'drain-'));
  rules = join(directory, 'rules.json');
  writeFileSync(rules, '{}');
  port = await freePort();
  fleet = await openFleet([facts('h1'), facts('h2'), facts('h3')], { without: ['workflow'] });
  supervise(0);
  supervise(1);
  const serviceUrls = { ...fleet.urls(), workflow: `http://127.0.0.1:${port}` };
  admin = await (await load('admin-api'))({ ...fleet.config, serviceUrls } as ServiceConfig);
  await fleet.until(async () => (await fleet.reads.hosts()) === 3);
});
afterAll(async () => {
  over = true;
  for (const child of children) child.kill('SIGKILL');
  await admin?.stop();
  await fleet?.close();
  rmSync(directory, { recursive: true });
});

const vms: { id: string; token: string }[] = [];
const vmsNow = () => Promise.all(vms.map(({ id }) => fleet.reads.vm(id)));
const count = async (sql: string, ...values: unknown[]): Promise<number> =>
  Number((await fleet.pool.query<{ n: string }>(sql, values)).rows[0]!.n);

test('a host marked retiring ends without VMs, each moved once, though the services that drain it are killed on the way', async () => {
  const larger = { ...small, memoryMiB: { now: 1024, max: 4096 } };
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'small', spec: small });
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'medium', spec: larger });
  await fleet.call('provisioning', 'POST', '/v1/images', {
    image: { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' },
  });
  for (const [name, tenant, type] of [['one', 'acme', 'small@1'], ['two', 'acme', 'small@1'], ['three', 'acme', 'medium@1'], ['four', 'other', 'small@1']] as const) {
    const token = await fleet.tokenOf(tenant);
    const body = { name, type, image: 'linux@1', host: 'h1' };
    vms.push({ id: (await fleet.call<{ vmId: string }>('provisioning', 'POST', '/v1/vms', body, token)).vmId, token });
  } // prettier-ignore
  await fleet.until(async () => (await vmsNow()).every((vm) => vm.status === 'running' && vm.host === 'h1'));

  expect(await chrysalis('workflow', 'policy', 'list')).toMatch(/drain-retiring-hosts\s+disabled\s+chrysalis\.resource/);
  const event = join(directory, 'event.json');
  writeFileSync(
    event,
    JSON.stringify({ type: 'chrysalis.resource-allocation.host.state-changed.v1', data: { hostId: 'h1', to: 'retiring' } }),
  );
  const tried = await chrysalis('workflow', 'policy', 'test', 'drain-retiring-hosts', '--event', event);
  expect(tried).toMatch(/fires:\s+yes\n[^]*params:\s+\{"hostId":"h1","concurrency":2\}/);
  await chrysalis('workflow', 'policy', 'enable', 'drain-retiring-hosts', '--reason', 'the rack goes');

  writeFileSync(rules, JSON.stringify({ 'policy:fired': { action: 'exit' } })); // between firing and its commit
  expect(await chrysalis('host', 'retire', 'h1', '--reason', 'ten years old')).toContain('h1 is retiring');
  await fleet.until(async () => deaths[0]! + deaths[1]! >= 2);
  writeFileSync(rules, JSON.stringify({ 'policy:committed': { action: 'exit' } })); // and after it
  const before = deaths[0]! + deaths[1]!;
  await fleet.until(async () => deaths[0]! + deaths[1]! > before);
  writeFileSync(rules, '{}');
  await fleet.until(async () => (await count(`select count(*) as n from migration_templates.moves where started_at is not null`)) > 0);
  for (const child of children) child.kill('SIGKILL'); // in the midst of the first moves

  const holds = async (host: string) => (await fleet.reads.holds()).filter((a) => a.host === host);
  await fleet.until(async () => (await holds('h1')).length === 0);
  const ended = () => count(`select count(*) as n from workflow.instances where name = 'drain-host' and ended_at is not null`);
  await fleet.until(async () => (await ended()) > 0);

  for (const vm of await vmsNow()) expect([vm.status, ['h2', 'h3'].includes(vm.host), vm.epoch]).toEqual(['running', true, 2]);
  const drains = await fleet.pool.query(`select workflow_id, state, tenant, subject from workflow.instances where name = 'drain-host'`);
  expect(drains.rows).toEqual([
    { workflow_id: expect.stringMatching(/^by-policy-drain-retiring-hosts-/), state: 'succeeded', tenant: '*', subject: 'h1' },
  ]);
  expect(await count(`select count(*) as n from workflow.events where type = 'chrysalis.workflow.policy.fired.v1'`)).toBe(1);
  const moves = await fleet.pool.query<{ vm_id: string; n: string }>(
    `select vm_id, count(*) as n from migration_templates.moves group by 1`,
  );
  expect(moves.rows.map((r) => [r.vm_id, r.n]).sort()).toEqual(vms.map(({ id }) => [id, '1']).sort());
  expect((await holds('h2')).length + (await holds('h3')).length).toBe(4);
  expect(fleet.seen.filter((s) => s.startsWith('compensate'))).toEqual([]);
  expect(await chrysalis('workflow', 'policy', 'get', 'drain-retiring-hosts')).toMatch(
    /tenant:\s+the fleet[^]*by-policy-drain-retiring-hosts-\S+\s+host-h1\s+started/,
  );
});

test('a deprecated type: whose guest can take it becomes the replacement where it runs, who cannot is named', async () => {
  await fleet.call('provisioning', 'POST', '/v1/vm-types', { name: 'small', spec: { ...small, vcpus: { now: 2, max: 4 } } });
  const agents = vms.slice(0, 2).map((vm) => vm.id);
  await fleet.grant('g1', agents);
  const asked = { vmIds: agents, grantId: 'g1' };
  const { queryId } = await fleet.call<{ queryId: string }>('migration-templates', 'POST', '/v1/migration-options-queries', asked);
  const query = () => fleet.reads.query(queryId);
  await fleet.until(async () => (await query()).state === 'answered');

  await chrysalis('workflow', 'policy', 'enable', 'retire-deprecated-types');
  expect(await chrysalis('type', 'deprecate', 'small@1', '--replacement', 'small@2', '--reason', 'two CPUs now')).toContain('deprecated');
  const instance = async () =>
    (await fleet.pool.query<{ state: string; cause_code: string; workflow_id: string }>(
      `select workflow_id, state, cause_code from workflow.instances where name = 'retire-vm-type' and ended_at is not null`,
    )).rows[0]; // prettier-ignore
  const { workflow_id: workflowId, ...end } = await fleet.until(instance);
  expect(end).toEqual({ state: 'stopped', cause_code: 'vm-type.in_use' });
  expect((await vmsNow()).map((vm) => vm.type)).toEqual(['small@2', 'small@2', 'medium@1', 'small@1']);
  const { rows } = await fleet.pool.query<{
    data: { output: { results: { vmId: string; state: string; blockers?: { code: string }[] }[] } };
  }>(
    `select data from workflow.events where stream_id = $1 and type = 'chrysalis.workflow.task.succeeded.v1' and data ->> 'task' = 'change'`,
    [`workflow-${workflowId}`],
  );
  const { results } = rows[0]!.data.output;
  expect(results.map((r) => r.state).sort()).toEqual(['blocked', 'succeeded', 'succeeded']);
  expect(results.find((r) => r.vmId === vms[3]!.id)!.blockers!.map((b) => b.code)).toContain('option.capability_unknown');
  expect((await vmsNow()).every((vm) => vm.epoch === 2)).toBe(true); // nobody moved
});

test('an audit by schedule: what nobody owns is found, and stays', async () => {
  await fleet.pool.query(`insert into resource_allocation.ledger (consumer, host, vm, vcpu, memory_mib, disk_mib) values ('vm:vm-ghost', 'h2', 'vm-ghost', 1, 1, 1)`); // prettier-ignore
  const file = join(directory, 'audit.yaml');
  writeFileSync(
    file,
    [
      'name: audit-now',
      'summary: look every second',
      'on: { schedule: "* * * * * *" }',
      'start: { template: audit-holds@1, params: { minAgeMs: 0 }, subject: allocations }',
    ].join('\n'),
  );
  expect(await chrysalis('workflow', 'policy', 'apply', file, '--enable')).toContain('audit-now is enabled, revision 1');
  const found = async () =>
    (await fleet.pool.query<{ data: { output: { checked: number; findings: object[] } } }>(
      `select data from workflow.events where type = 'chrysalis.workflow.instance.ended.v1' and data ->> 'name' = 'audit-holds'`,
    )).rows[0]; // prettier-ignore
  const { data } = await fleet.until(found);
  expect(data.output).toMatchObject({ checked: 5, findings: [{ consumer: 'vm:vm-ghost', hostId: 'h2', why: 'owner_unknown' }] });
  expect(await chrysalis('workflow', 'policy', 'remove', 'audit-now')).toContain('removed');
  expect(await count(`select count(*) as n from resource_allocation.ledger where vm = 'vm-ghost'`)).toBe(1);
});
