import { once } from 'node:events';
import { contexts, FromHostAgent, reportOf, topologyHash, type TaskDispatch, type VmTypeSpec } from '@chrysalis/contracts';
import { issueToken, newSigningKey, type Caller, type Role, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { bareTopology, serviceConfig, temporaryDatabase, testTenant, until } from '@chrysalis/testing';
import { saveVm } from '@chrysalis/workflow-core';
import { CompactSign } from 'jose';
import { v7 as uuidv7 } from 'uuid';
import { WebSocket } from 'ws';

type Body = Record<string, unknown> & { code?: string; items?: Record<string, unknown>[] };
type Start = (c: ServiceConfig) => Promise<RunningService & { agentsUrl?: string }>;
const startOf = async (app: string): Promise<Start> => ((await import(`../../../${app}/src/main.ts`)) as { start: Start }).start;

const spec = (vcpus: number): VmTypeSpec => ({
  vcpus: { now: vcpus, max: 4 },
  memoryMiB: { now: 512, max: 2048 },
  disks: [],
  nics: [],
  cpuModel: 'Westmere',
  requiredTraits: [],
});
const image = { name: 'linux', version: 1, digest: `sha256:${'a'.repeat(64)}`, cmdline: 'quiet' };
const inventory = { total: 64, reserved: 0, ratioPerMille: 1000, min: 1, max: 64, step: 1 };
const lots = { ...inventory, total: 65_536, max: 65_536 };
const facts = {
  hostId: 'h1',
  address: '198.18.0.1',
  place: { site: 's', room: 'r', rack: 'k' },
  driver: 'simulated',
  accelerator: 'none',
  hypervisorVersion: '1',
  cpuModels: ['Westmere'],
  machineTypes: ['pc-q35-7.2'],
  traits: ['storage.shared'],
  storagePools: ['shared'],
  networks: ['main'],
  inventory: { vcpu: inventory, memoryMiB: lots, diskMiB: lots },
};

/** All services as they are, in one process; the fleet has one host, whose agent boots what it is told to and leaves every other task open. */
export const openFleetOfTwo = async () => {
  const database = await temporaryDatabase();
  const key = await newSigningKey();
  const config: ServiceConfig = serviceConfig(database, key, 4);
  const services = new Map<string, RunningService & { agentsUrl?: string }>();
  const token = (roles: readonly Role[], tenant: string, sub = 'anna'): Promise<string> =>
    issueToken(key.privateJwk, { sub, roles, tenant } as Caller);
  let agent: WebSocket | undefined;
  const close = async (): Promise<void> => {
    agent?.terminate();
    for (const s of [...services.values()].reverse()) await s.stop();
    await database.drop();
  };
  try {
    await Promise.all(
      [...contexts, 'projector'].map(async (name) => {
        const given = name === 'agent-gateway' ? { ...config, agentListen: '127.0.0.1:0' } : config;
        services.set(name, await (await startOf(name))(given));
      }),
    );
    const serviceUrls = Object.fromEntries(contexts.map((c) => [c, services.get(c)!.url])) as NonNullable<ServiceConfig['serviceUrls']>;
    services.set('admin-api', await (await startOf('admin-api'))({ ...config, serviceUrls }));
    agent = await connectAgent(services.get('agent-gateway')!.agentsUrl!, await token(['host-agent'], '*', 'host:h1'));
  } catch (error) {
    await close();
    throw error;
  }
  const call = async (service: string, method: string, path: string, { as, body }: { as?: string; body?: unknown } = {}) => {
    const response = await fetch(`${services.get(service)!.url}${path}`, {
      method,
      headers: {
        ...(as ? { authorization: `Bearer ${as}` } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const type = (response.headers.get('content-type') ?? '').split(';')[0]!;
    const stream = type === 'text/event-stream';
    const text = stream ? (await response.body!.cancel(), '') : await response.text();
    return { status: response.status, type, text, body: (text.startsWith('{') && !text.includes('}\n{') ? JSON.parse(text) : {}) as Body };
  };
  return { services, token, call, close, agentsUrl: services.get('agent-gateway')!.agentsUrl! };
};
export type FleetOfTwo = Awaited<ReturnType<typeof openFleetOfTwo>>;

/** The first frame of an agent, and what the gateway says to it. */
export const greet = async (url: string, token: string): Promise<{ socket: WebSocket; answer: Record<string, unknown> }> => {
  const socket = new WebSocket(url);
  socket.on('error', () => undefined);
  await once(socket, 'open');
  const answered = once(socket, 'message');
  const hello = { type: 'hello', protocol: { min: 1, max: 1 }, hostId: 'h1', agentVersion: 'test', token, facts, vms: [] };
  socket.send(JSON.stringify(FromHostAgent.parse(hello)));
  const [data] = (await answered) as [Buffer];
  return { socket, answer: JSON.parse(String(data)) as Record<string, unknown> };
};

const connectAgent = async (url: string, token: string): Promise<WebSocket> => {
  const { socket, answer } = await greet(url, token);
  if (answer['type'] !== 'welcome') throw new Error(`the agent was not welcome: ${JSON.stringify(answer)}`);
  let seq = 0;
  const beat = setInterval(() => {
    socket.send(JSON.stringify({ type: 'heartbeat', seq: ++seq, at: new Date().toISOString(), vms: [] }));
  }, 1_000);
  socket.on('close', () => clearInterval(beat));
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data as Buffer)) as { type: string; dispatch: TaskDispatch };
    if (frame.type !== 'task') return;
    const answer = (output: Record<string, unknown>): void =>
      socket.send(JSON.stringify({ type: 'report', report: reportOf(frame.dispatch, { ok: true, output }, new Date().toISOString()) }));
    if (frame.dispatch.kind === 'host.create-volume') return answer({ shared: true, bytes: 0 });
    if (frame.dispatch.kind !== 'host.boot-vm') return;
    const topology = bareTopology({ uuid: frame.dispatch.input['uuid'] as string, image });
    answer({ topology, topologyHash: topologyHash(topology), bootedAt: new Date().toISOString() });
  });
  return socket;
};

/** What a tenant has: one of everything, made over the API as its operator would. The names of the things, to be found in answers. */
export const settle = async ({ call, token }: FleetOfTwo, tenant: string) => {
  const [operator, admin] = await Promise.all([token(['operator'], tenant), token(['admin'], tenant)]);
  const made = async (service: string, method: string, path: string, body: unknown, as = operator): Promise<Body> => {
    const answer = await call(service, method, path, { as, body });
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.body;
  };
  const { vmId, operation } = await made('provisioning', 'POST', '/v1/vms', { name: `${tenant}-web`, type: 'small@1', image: 'linux@1' });
  /** As the door shows it, once it is so. */
  const shown = (path: string, state: string): Promise<Body> =>
    until(async () => {
      const { body } = await call('admin-api', 'GET', path, { as: operator });
      return (body['state'] as unknown) === state && body;
    });
  await shown(`/v1/vms/${String(vmId)}`, 'running');
  const { networkId } = await made('provisioning', 'POST', '/v1/networks', { name: `${tenant}-back`, subnet: '10.7.0.0/24' });
  await shown(`/v1/networks/${String(networkId)}`, 'active');
  const { addressId } = await made('provisioning', 'POST', '/v1/addresses', { network: networkId, name: `${tenant}-web` });
  await shown(`/v1/addresses/${String(addressId)}`, 'reserved');
  const { volumeId } = await made('provisioning', 'POST', '/v1/volumes', { name: `${tenant}-data`, sizeMiB: 64 });
  await shown(`/v1/volumes/${String(volumeId)}`, 'available');
  const { queryId } = await made('migration-templates', 'POST', '/v1/migration-options-queries', { vmIds: [vmId] });
  const answered = await shown(`/v1/migration-options-queries/${String(queryId)}`, 'answered');
  const { options } = answered as unknown as { options: { id: string; move: boolean }[] };
  const option = options.find((o) => !o.move)!;
  const template = `${tenant}-grow`;
  await made('migration-templates', 'POST', '/v1/migration-templates', { name: template, fromOption: { queryId, optionId: option.id } });
  const { planId } = await made('migration-templates', 'POST', '/v1/migration-plans', { template, vmIds: [vmId] });
  const { migrationId } = await made('migration-templates', 'POST', '/v1/migrations', { planId });
  const policy = `${tenant}-policy`;
  await made('workflow', 'POST', '/v1/workflow-policies', {
    name: policy,
    summary: 'of a tenant',
    on: { event: 'chrysalis.provisioning.vm.deleted.v1' },
    start: { template: 'audit-holds@1', params: {}, subject: 'x' },
  });
  const { workflowId } = await made('workflow', 'POST', '/v1/workflows', { template: 'audit-holds', params: {} });
  const signer = await testTenant();
  const kid = `${tenant}-key`;
  await made('agent-gateway', 'POST', '/v1/tenant-keys', { tenant, kid, publicKeyJwk: signer.jwk }, admin);
  const now = Math.floor(Date.now() / 1000);
  const claims = { jti: `grant-${tenant}`, iss: tenant, iat: now, exp: now + 600, vms: [vmId], uses: 3, actions: ['characterise'] };
  const jws = await new CompactSign(new TextEncoder().encode(JSON.stringify({ ...claims, packages: [`sha256:${'b'.repeat(64)}`] })))
    .setProtectedHeader({ alg: 'EdDSA', kid })
    .sign(signer.privateKey);
  const { grantId } = await made('agent-gateway', 'POST', '/v1/grants', { jws });
  return {
    tenant,
    vmId,
    volumeId,
    networkId,
    addressId,
    operation,
    queryId,
    template,
    planId,
    migrationId,
    policy,
    workflowId,
    kid,
    jws,
    grantId,
  } as Record<Thing, string>;
};
export type Thing =
  | 'tenant'
  | 'vmId'
  | 'volumeId'
  | 'networkId'
  | 'addressId'
  | 'operation'
  | 'queryId'
  | 'template'
  | 'planId'
  | 'migrationId'
  | 'policy'
  | 'workflowId'
  | 'kid'
  | 'jws'
  | 'grantId';

/** What is the fleet's and shared: types, an image, and an event that a service could not handle. */
export const furnish = async ({ call, token, services }: FleetOfTwo) => {
  const fleet = await token(['admin', 'fleet'], 'ops');
  for (const [name, size] of [
    ['small', 1],
    ['large', 2],
  ] as const)
    // prettier-ignore
    await call('provisioning', 'POST', '/v1/vm-types', { as: fleet, body: { name, spec: spec(size) } });
  await call('provisioning', 'POST', '/v1/images', { as: fleet, body: { image } });
  const { version: _, ...definition } = saveVm;
  await call('workflow', 'POST', '/v1/workflow-templates', { as: fleet, body: { definition } });
  const letter = uuidv7();
  const event = { id: letter, type: 'chrysalis.test.poison.v1', subject: 'vm-x', time: new Date().toISOString() };
  for (const schema of ['provisioning', 'resource_allocation', 'migration_templates', 'workflow', 'agent_gateway', 'read'])
    await services.get('provisioning')!.service.pool.query(
      `insert into ${schema}.parked (consumer, key, event_id, topic, event, reason, attempts) values ('test', 'vm-x', $1, 't', $2, 'poison', 5)`,
      [letter, JSON.stringify(event)],
    ); // prettier-ignore
  return { fleet, letter };
};
export { image, spec };
