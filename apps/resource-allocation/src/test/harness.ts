import type { Amounts, HostFacts, Outcome, TaskDispatch } from '@chrysalis/contracts';
import { agentGatewayEvents, eventsTopic, tasksTopic, workflowEvents } from '@chrysalis/contracts';
import { createBus, type EventBus } from '@chrysalis/messaging';
import { issueToken, newSigningKey, type RunningService, type ServiceConfig } from '@chrysalis/service-kit';
import { busEvent, serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import { hostView } from '../http/views.ts';
import { start } from '../main.ts';
import { hostNamed } from '../sql/hosts.ts';

const whole = (total: number) => ({ total, reserved: 0, ratioPerMille: 1000, min: 1, max: 1_000_000, step: 1 });
export const hostFacts = (hostId: string, vcpu = 4, over: Partial<HostFacts> = {}): HostFacts => ({
  hostId,
  address: `192.0.2.1:${hostId.length}`,
  place: { site: 's', room: 'r', rack: 'k' },
  driver: 'simulated',
  accelerator: 'none',
  hypervisorVersion: '1',
  cpuModels: ['Westmere'],
  machineTypes: ['pc-q35-7.2'],
  traits: [],
  storagePools: ['shared'],
  networks: ['front'],
  inventory: { vcpu: whole(vcpu), memoryMiB: whole(vcpu * 1024), diskMiB: whole(100_000) },
  ...over,
});

type Host = { id: string; state: string; connected: boolean; version: number; capacity: Amounts; held: Amounts; free: Amounts };
type Allocation = { host: string; consumer: string; vm: string } & Amounts;
/** The union of what the routes answer, each member there or not. */
type Body = Host & { code: string; refused: { hostId: string; reasons: { code: string }[] }[] };

/** The service alone, on a database of its own; what other services would say comes over the bus. */
export class Harness {
  #token = 0;
  private constructor(
    readonly database: TemporaryDatabase,
    readonly running: RunningService,
    private readonly bearer: string,
    private readonly bus: EventBus,
    private readonly key: Awaited<ReturnType<typeof newSigningKey>>,
  ) {}

  static async start(poolSize = 8): Promise<Harness> {
    const database = await temporaryDatabase();
    const key = await newSigningKey();
    const config: ServiceConfig = serviceConfig(database, key, poolSize);
    const running = await start(config);
    const token = await issueToken(key.privateJwk, { sub: 'olga', roles: ['operator', 'fleet'], tenant: 'main' });
    const bus = createBus({ kind: 'embedded', pool: database.pool({ max: 2 }), connectionString: database.connectionString });
    return new Harness(database, running, token, bus, key);
  }

  async stop(): Promise<void> {
    await this.running.stop();
    await this.bus.close();
    await this.database.drop();
  }

  /** For a header: of the fleet, in that role. */
  async as(role: 'admin' | 'viewer'): Promise<Record<string, string>> {
    return { authorization: `Bearer ${await issueToken(this.key.privateJwk, { sub: 'anna', roles: [role, 'fleet'], tenant: 'main' })}` };
  }

  async http<T = Body>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const answer = await fetch(`${this.running.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.bearer}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, etag: answer.headers.get('etag'), body: (await answer.json()) as T };
  }

  /** A host as the service decides about it, once it is registered. */
  async host(id: string): Promise<Host | undefined> {
    const { pool, schema } = this.running.service;
    const row = await hostNamed(pool, schema, id);
    return row && hostView(row);
  }

  async registered(hosts: number): Promise<void> {
    await this.eventually(async () => (await this.running.service.pool.query('select from resource_allocation.hosts')).rowCount === hosts);
  }

  /** Who holds what where, by host and consumer. */
  async ledger(): Promise<Allocation[]> {
    const { rows } = await this.running.service.pool.query<Allocation>(
      `select host, consumer, vm, vcpu::int, memory_mib::int as "memoryMiB", disk_mib::int as "diskMiB"
       from resource_allocation.ledger order by host, consumer`,
    );
    return rows;
  }

  say(topic: string, key: string, type: string, data: unknown): Promise<void> {
    return this.bus.publish([{ topic, event: busEvent(key, type, data) }]);
  }

  enrolled(facts: HostFacts, sessionId = 's1'): Promise<void> {
    const data = { hostId: facts.hostId, sessionId, agentVersion: '1', facts };
    return this.say(eventsTopic('agent-gateway'), `host-agent-${facts.hostId}`, agentGatewayEvents.hostAgentEnrolled.type, data);
  }
  lost(hostId: string, sessionId: string): Promise<void> {
    const data = { hostId, sessionId, reason: 'test' };
    return this.say(eventsTopic('agent-gateway'), `host-agent-${hostId}`, agentGatewayEvents.hostAgentLost.type, data);
  }

  /** Sends a task as the workflow service would; `token` may be set to send it late. */
  async dispatch(workflowId: string, task: Partial<TaskDispatch> & Pick<TaskDispatch, 'kind' | 'input'>): Promise<TaskDispatch> {
    const dispatch: TaskDispatch = {
      workflowId,
      task: task.kind.replace('.', '-'),
      action: 'run',
      attempt: 1,
      executor: 'group:resource-allocation',
      group: 'resource-allocation',
      token: ++this.#token,
      deadlineAt: '2099-01-01T00:00:00Z',
      tenant: 'main',
      ...task,
    };
    await this.say(tasksTopic('resource-allocation'), `workflow-${workflowId}`, workflowEvents.taskDispatched.type, dispatch);
    return dispatch;
  }

  async outcomeOf({ workflowId, task, action, attempt }: TaskDispatch): Promise<Outcome> {
    return this.eventually(async () => {
      const events = await this.running.service.store.read(`task-${workflowId}`);
      const reports = events.map((e) => e.data as TaskDispatch & { outcome: Outcome });
      return reports.find((r) => r.task === task && r.action === action && r.attempt === attempt)?.outcome;
    });
  }
  async run(workflowId: string, task: Parameters<Harness['dispatch']>[1]): Promise<Outcome> {
    return this.outcomeOf(await this.dispatch(workflowId, task));
  }

  readonly eventually = until;
}
