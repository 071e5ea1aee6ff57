import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { GrantClaims, Topology } from '@chrysalis/contracts';
import { SimulatedDriver, SimulatedWorld, type HypervisorDriver } from '@chrysalis/hypervisor';
import { createLog, issueToken, newSigningKey, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { serviceConfig, temporaryDatabase, testTenant, until } from '@chrysalis/testing';
import { SignJWT } from 'jose';
import { readsOf } from './reads.ts';

const names = ['provisioning', 'resource-allocation', 'workflow', 'migration-templates', 'agent-gateway'] as const;
type Named = (typeof names)[number];
type HostAgent = { stop(): Promise<void> };
type Undo = () => Promise<unknown> | unknown;

const inventory = (total: number) => ({ total, reserved: 0, ratioPerMille: 1000, min: 1, max: total, step: 1 });
const own = async <T>(file: string): Promise<T> => (await import(`../../../${file}`)) as T;

/**
 * The five services that carry out a move, and a real host agent for each host, over simulated machines: one process, one database.
 * Fences, admission, turns and the order of tasks are the product's own; only what QEMU and a guest would do is a model.
 */
export const openSimulatedFleet = async (hosts: readonly string[]) => {
  const undo: Undo[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  const dir = mkdtempSync(path.join(tmpdir(), 'chrysalis-fleet-'));
  undo.push(() => rmSync(dir, { recursive: true, force: true }));
  const failpoints = path.join(dir, 'failpoints.json');
  process.env['CHRYSALIS_FAILPOINTS'] = failpoints;
  undo.push(() => delete process.env['CHRYSALIS_FAILPOINTS']);
  const database = await temporaryDatabase();
  undo.push(() => database.drop());
  try {
    const key = await newSigningKey();
    const config: ServiceConfig = serviceConfig(database, key, 6);
    const services = {} as Record<Named, RunningService>;
    for (const name of names) {
      const { start } = await own<{ start: (c: ServiceConfig) => Promise<RunningService> }>(`${name}/src/main.ts`);
      services[name] = await start(config);
      undo.push(() => services[name].stop());
    }
    const world = new SimulatedWorld({ bandwidthMiBps: 100_000 });
    const gatewayUrl = (services['agent-gateway'] as RunningService & { agentsUrl: string }).agentsUrl;
    const drivers = new Map<string, HypervisorDriver>();
    const startHost = async (hostId: string): Promise<void> => {
      const token = await issueToken(key.privateJwk, { sub: `host:${hostId}`, roles: ['host-agent'], tenant: 'acme' });
      const { driver, agent } = await hostAgent({ hostId, dir, token, gatewayUrl, world });
      drivers.set(hostId, driver);
      undo.push(() => agent.stop());
    };
    for (const hostId of hosts) await startHost(hostId);

    const token = await issueToken(key.privateJwk, { sub: 'olga', roles: ['admin', 'fleet'], tenant: 'acme' });
    const call = async <T = Record<string, unknown>>(service: Named, method: string, where: string, body?: unknown): Promise<T> => {
      const response = await fetch(`${services[service].url}${where}`, {
        method,
        headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = (await response.json()) as T;
      if (!response.ok) throw Object.assign(new Error(`${method} ${where}: ${response.status} ${JSON.stringify(answer)}`), { answer });
      return answer;
    };
    const tenant = await testTenant();
    await call('agent-gateway', 'POST', '/v1/tenant-keys', { tenant: 'acme', kid: tenant.kid, publicKeyJwk: tenant.jwk });
    const reads = readsOf(services['migration-templates'].service);
    await until(async () => (await reads.hosts()) === hosts.length);
    return {
      call,
      reads,
      close,
      /** How often a task was given to its executor. */
      dispatched: async (workflowId: string, task: string): Promise<number> => {
        const { rowCount } = await services.workflow.service.pool.query(
          `select from workflow.events where type like '%.task.dispatched.v1'
           and data->>'workflowId' = $1 and data->>'task' = $2 and data->>'action' = 'run'`,
          [workflowId, task],
        );
        return rowCount!;
      },
      /** Resolves when a service has heard so much of another: rows of a table of what it knows. */
      told: async (table: string, rows: number): Promise<void> =>
        void (await until(async () => (await services.workflow.service.pool.query(`select from ${table}`)).rowCount! >= rows)),
      /** A grant over these VMs that a tenant's administrator signed; the gateway looks at it as at any other. */
      grant: async (grantId: string, vms: readonly string[], change: Partial<GrantClaims> = {}): Promise<void> => {
        const now = Math.floor(Date.now() / 1000);
        const claims = {
          jti: grantId,
          iss: 'acme',
          iat: now,
          exp: now + 3_600,
          vms,
          packages: [`sha256:${'b'.repeat(64)}`],
          uses: 10_000,
          actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'],
          ...change,
        };
        const signed = new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', kid: tenant.kid });
        await call('agent-gateway', 'POST', '/v1/grants', { jws: await signed.sign(tenant.privateKey) });
      },
      /** What has to fail, by the names of failpoints; nothing else fails from then on. */
      fail: (rules: Readonly<Record<string, object>>): void => writeFileSync(failpoints, JSON.stringify(rules)),
      /** The VMs that run on a host, as its hypervisor shows them. */
      running: async (hostId: string): Promise<Map<string, Topology>> => {
        const driver = drivers.get(hostId)!;
        const all = await Promise.all(driver.list().map((vmId) => driver.status(vmId)));
        return new Map(all.filter((s) => s.running).map((s) => [s.vmId, s.topology]));
      },
      /** Every VM that a host has, whatever it does. */
      present: (hostId: string): readonly string[] => drivers.get(hostId)!.list(),
      /** What happens to a VM by itself is done to it here. */
      driver: (hostId: string): SimulatedDriver => drivers.get(hostId)! as SimulatedDriver,
      databaseUrl: config.databaseUrl,
      inside: (hostId: string, vmId: string) => drivers.get(hostId)!.simulatedGuest!(vmId)!,
    };
  } catch (error) {
    await close();
    throw error;
  }
};
export type SimulatedFleet = Awaited<ReturnType<typeof openSimulatedFleet>>;

type Host = { hostId: string; dir: string; token: string; gatewayUrl: string; world: SimulatedWorld };
const hostAgent = async ({ hostId, dir, token, gatewayUrl, world }: Host): Promise<{ driver: HypervisorDriver; agent: HostAgent }> => {
  const [{ startHostAgent }, { HostAgentConfig }, { SimulatedGuests }, { plainFiles }] = await Promise.all([
    own<{ startHostAgent: (config: unknown, given: object) => Promise<HostAgent> }>('host-agent/src/agent.ts'),
    own<{ HostAgentConfig: { parse: (config: unknown) => unknown } }>('host-agent/src/config.ts'),
    own<{ SimulatedGuests: new (driver: HypervisorDriver) => object }>('host-agent/src/guests/simulated-guests.ts'),
    own<{ plainFiles: unknown }>('host-agent/src/images/make.ts'),
  ]);
  const stateDir = path.join(dir, hostId);
  mkdirSync(stateDir, { recursive: true });
  const driver = new SimulatedDriver({ host: hostId, world, pools: ['shared', 'packages'], networks: ['lan'] });
  const config = HostAgentConfig.parse({
    hostId,
    address: '127.0.0.1',
    place: { site: 's', room: 'r', rack: hostId },
    inventory: { vcpu: inventory(10_000), memoryMiB: inventory(10_000_000), diskMiB: inventory(10_000_000) },
    networks: { lan: 'isolated' },
    pools: { shared: dir },
    imageStore: dir,
    packageStore: dir,
    stateDir,
    gatewayUrl,
    token,
    driver: 'simulated',
    reconnect: { minMs: 50, maxMs: 500 },
  });
  const agent = await startHostAgent(config, {
    driver,
    guests: new SimulatedGuests(driver),
    makeImage: plainFiles,
    log: createLog(`host-agent:${hostId}`),
  });
  return { driver, agent };
};
