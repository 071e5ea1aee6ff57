import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  AGENT_NONCE_HEADER,
  tasksTopic,
  workflowEvents,
  type FromHostAgent,
  type TaskDispatch,
  type TaskOffer,
  type ToHostAgent,
} from '@chrysalis/contracts';
import { ImageDepot, issueToken, newSigningKey, type Role, type RunningService, type SigningKey } from '@chrysalis/service-kit';
import { busEvent, serviceConfig, temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import { exportJWK, generateKeyPair, CompactSign, type CryptoKey, type JWK } from 'jose';
import { WebSocket } from 'ws';
import { start, type GatewayTimes } from '../main.ts';

export type Gateway = RunningService & { readonly agentsUrl: string };
export type World = {
  readonly database: TemporaryDatabase;
  readonly key: SigningKey;
  readonly gateways: Gateway[];
  start(times?: Partial<GatewayTimes>, agentListen?: string, depot?: string): Promise<Gateway>;
  token(sub: string, role: Role, tenant?: string): Promise<string>;
  api(
    gateway: Gateway,
    token: string,
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  events(gateway: Gateway, stream: string): Promise<{ type: string; data: Record<string, unknown> }[]>;
  stop(): Promise<void>;
};

/** Real gateways on a real database, and the embedded bus. */
export const world = async (): Promise<World> => {
  const database = await temporaryDatabase();
  const key = await newSigningKey();
  const gateways: Gateway[] = [];
  return {
    database,
    key,
    gateways,
    start: async (times = {}, agentListen = '127.0.0.1:0', depot = undefined) => {
      const images = depot === undefined ? {} : { images: ImageDepot.parse({ depot }) };
      const config = { ...serviceConfig(database, key, 6), agentListen, instance: String(gateways.length + 1), ...images };
      const gateway = await start(config, { heartbeatMs: 200, lostAfterMs: 1_500, sweepMs: 50, reportGraceMs: 200, ...times });
      gateways.push(gateway);
      return gateway;
    },
    token: (sub, role, tenant = 'acme') =>
      issueToken(key.privateJwk, { sub, roles: role === 'fleet' ? ['admin', 'fleet'] : [role], tenant }),
    api: async (gateway, token, method, path, body) => {
      const response = await fetch(`${gateway.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body ?? {}),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
    events: async (gateway, stream) =>
      (await gateway.service.store.read(stream)).map(({ type, data }) => ({ type, data: data as Record<string, unknown> })),
    stop: async () => {
      for (const gateway of gateways) await gateway.stop();
      await database.drop();
    },
  };
};

/** With two gateways, as two instances of the service are. */
export const worldOfTwo = async (times?: Partial<GatewayTimes>): Promise<{ w: World; one: Gateway; two: Gateway }> => {
  const w = await world();
  return { w, one: await w.start(times), two: await w.start(times) };
};

const inventory = { total: 8, reserved: 0, ratioPerMille: 1000, min: 1, max: 8, step: 1 };
const facts = (hostId: string) => ({
  hostId,
  address: '198.18.0.1',
  place: { site: 's', room: 'r', rack: 'k' },
  driver: 'simulated' as const,
  accelerator: 'none' as const,
  hypervisorVersion: '1',
  cpuModels: ['Westmere'],
  machineTypes: ['pc-q35-7.2'],
  traits: [],
  storagePools: ['local'],
  networks: ['main'],
  inventory: { vcpu: inventory, memoryMiB: inventory, diskMiB: inventory },
});

export class TestAgent {
  readonly frames: ToHostAgent[] = [];
  closeCode: number | undefined;
  /** Of this connection: what a hello's identity signs. */
  nonce = '';
  #more: (() => void)[] = [];

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data) => {
      this.frames.push(JSON.parse(String(data as Buffer)) as ToHostAgent);
      for (const more of this.#more.splice(0)) more();
    });
    socket.on('close', (code) => {
      this.closeCode = code;
      for (const more of this.#more.splice(0)) more();
    });
    socket.on('error', () => undefined);
    socket.on('upgrade', ({ headers }) => (this.nonce = String(headers[AGENT_NONCE_HEADER])));
  }

  static async open(url: string): Promise<TestAgent> {
    const agent = new TestAgent(new WebSocket(url));
    await once(agent.socket, 'open');
    return agent;
  }

  /** Connected and welcomed. */
  static async of(gateway: Gateway, hostId: string, token: string, greeting = hello(hostId, token)): Promise<TestAgent> {
    const agent = await TestAgent.open(gateway.agentsUrl);
    agent.send(greeting);
    await agent.next('welcome');
    return agent;
  }

  send(frame: FromHostAgent | Record<string, unknown> | string): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  async next<T extends ToHostAgent['type']>(type: T, nth = 1, withinMs = 120_000): Promise<Extract<ToHostAgent, { type: T }>> {
    const end = Date.now() + withinMs;
    for (;;) {
      const found = this.frames.filter((f) => f.type === type)[nth - 1];
      if (found) return found as Extract<ToHostAgent, { type: T }>;
      if (Date.now() > end) throw new Error(`no ${type} in ${withinMs} ms; had ${JSON.stringify(this.frames)}`);
      await Promise.race([new Promise<void>((done) => this.#more.push(done)), new Promise((done) => setTimeout(done, 50))]);
    }
  }

  async closed(): Promise<number> {
    while (this.closeCode === undefined) await new Promise((done) => setTimeout(done, 10));
    return this.closeCode;
  }

  close(): void {
    this.socket.terminate();
  }
}

export const hello = (hostId: string, token: string): Extract<FromHostAgent, { type: 'hello' }> => ({
  type: 'hello',
  protocol: { min: 1, max: 1 },
  hostId,
  agentVersion: 'test',
  token,
  facts: facts(hostId),
  vms: [],
});

export const dispatch = (given: Partial<TaskDispatch> & Pick<TaskDispatch, 'kind' | 'executor' | 'input'>): TaskDispatch => ({
  workflowId: `op-${randomUUID()}`,
  task: 'step',
  action: 'run',
  attempt: 1,
  group: 'agent-gateway',
  token: 1,
  deadlineAt: new Date(Date.now() + 60_000).toISOString(),
  tenant: 'acme',
  ...given,
});

/** As the workflow service's relay does it. */
export const publish = (gateway: Gateway, task: TaskDispatch, id: string = randomUUID()): Promise<void> =>
  say(gateway, workflowEvents.taskDispatched.type, { ...task, at: new Date().toISOString() }, id);

/** An event of a workflow on the topic of this group's work. */
export const say = (
  gateway: Gateway,
  type: string,
  data: { workflowId: string; tenant?: string; at?: string },
  id: string = randomUUID(),
) =>
  gateway.service.bus.publish([
    {
      topic: tasksTopic('agent-gateway'),
      event: busEvent(`workflow-${data.workflowId}`, type, data, { id, tenant: data.tenant ?? 'acme' }),
    },
  ]);

export const offer = (given: Partial<TaskOffer> = {}): TaskOffer => ({
  workflowId: `op-${randomUUID()}`,
  task: 'build',
  action: 'run',
  attempt: 1,
  offer: 1,
  kind: 'host.build-image',
  group: 'agent-gateway',
  labels: {},
  closesAt: new Date(Date.now() + 5_000).toISOString(),
  tenant: 'acme',
  ...given,
});
export const publishOffer = (gateway: Gateway, given: TaskOffer): Promise<void> =>
  say(gateway, workflowEvents.taskOffered.type, { ...given, at: new Date().toISOString() } as TaskOffer);

/** An agent that bids: of protocol version 2, with kinds. */
export const bidderHello = (hostId: string, token: string, kinds = ['host.build-image']): Extract<FromHostAgent, { type: 'hello' }> => ({
  ...hello(hostId, token),
  protocol: { min: 1, max: 2 },
  kinds,
  capacity: 2,
});

export type Tenant = { readonly kid: string; readonly jwk: JWK; readonly privateKey: CryptoKey };
export const tenantKey = async (kid: string): Promise<Tenant> => {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  return { kid, jwk: await exportJWK(publicKey), privateKey };
};
export const sign = ({ kid, privateKey }: Tenant, claims: unknown, header: Record<string, unknown> = {}): Promise<string> =>
  new CompactSign(new TextEncoder().encode(JSON.stringify(claims))).setProtectedHeader({ alg: 'EdDSA', kid, ...header }).sign(privateKey);
export const digest = (c: string): string => `sha256:${c.repeat(64)}`;
export const claims = (given: Record<string, unknown> = {}): Record<string, unknown> => ({
  jti: `grant-${randomUUID()}`,
  iss: 'acme',
  iat: Math.floor(Date.now() / 1000),
  exp: Math.floor(Date.now() / 1000) + 600,
  vms: ['vm-1'],
  packages: [digest('a')],
  uses: 3,
  actions: ['add-agent', 'characterise'],
  ...given,
});
