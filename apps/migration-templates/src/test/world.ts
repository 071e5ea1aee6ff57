import {
  agentGatewayEvents,
  eventsTopic,
  provisioningEvents,
  resourceAllocationEvents,
  tasksTopic,
  workflowEvents,
  type Context,
  type EventContract,
  type HostFacts,
  type TaskDefinition,
  type WorkflowRequest,
} from '@chrysalis/contracts';
import { EventStore, type StoredEvent } from '@chrysalis/event-store';
import { createBus } from '@chrysalis/messaging';
import type { KnownType, KnownVm } from '@chrysalis/migration-templates-core';
import { issueToken, newSigningKey, type RunningService } from '@chrysalis/service-kit';
import { busEvent, serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import type { z } from 'zod';
import { start } from '../main.ts';
import { readsOf } from './reads.ts';

type Told = { status: number; body: Record<string, never> & { [k: string]: unknown }; headers: Headers };

/**
 * The service on a database of its own; the other contexts are this test, which says on the bus what they would say. `apart`: the service runs
 * in processes that the test starts, by `config`, and is looked at by its log and tables.
 */
export const openWorld = async ({ apart = false }: { apart?: boolean } = {}) => {
  const database = await temporaryDatabase();
  const key = await newSigningKey();
  const config = serviceConfig(database, key, 6);
  const tokens = new Map<string, string>();
  for (const tenant of ['acme', 'other'])
    tokens.set(tenant, await issueToken(key.privateJwk, { sub: 'olga', roles: ['operator'], tenant }));
  let running = apart ? lookingOn(database) : await start(config);
  const versions = new Map<string, number>();
  const lastOf = new Map<string, Promise<unknown>>();

  type Said = { topic: string; stream: string; type: string; data: unknown; tenant?: string; version: number };
  const publish = ({ topic, stream, type, data, tenant = 'acme', version }: Said) =>
    running.service.bus.publish([{ topic, event: busEvent(stream, type, data, { tenant, streamversion: version }) }]);

  const world = {
    config,
    get service() {
      return running;
    },
    restart: async () => {
      await running.stop();
      running = await start(config);
    },
    close: async () => {
      await running.stop();
      await database.drop();
    },
    /** An event of another context, at the next version of its stream. */
    tell: async <C extends EventContract>(context: Context, stream: string, contract: C, data: z.input<C['schema']>, tenant = 'acme') => {
      const version = (versions.get(stream) ?? 0) + 1;
      versions.set(stream, version);
      // In its order also where two tell at once: the relay publishes a stream so, and a reader takes an older version for one it has.
      const told = (lastOf.get(stream) ?? Promise.resolve()).then(() =>
        publish({ topic: eventsTopic(context), stream, type: contract.type, data, tenant, version }),
      );
      lastOf.set(stream, told);
      await told;
      return version;
    },
    call: async (
      method: string,
      path: string,
      body?: unknown,
      { tenant = 'acme', key: idempotency, ifMatch }: { tenant?: string; key?: string; ifMatch?: string } = {},
    ): Promise<Told> => {
      const response = await fetch(`${running.url}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${tokens.get(tenant)}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(idempotency ? { 'idempotency-key': idempotency } : {}),
          ...(ifMatch ? { 'if-match': ifMatch } : {}),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Told['body'], headers: response.headers };
    },
    get reads() {
      return readsOf(running.service);
    },
    stream: (name: string): Promise<readonly StoredEvent[]> => running.service.store.read(name),
    events: async (): Promise<number> =>
      Number((await running.service.pool.query(`select count(*) from migration_templates.events`)).rows[0].count),
    until,

    type: (t: KnownType) =>
      world.tell('provisioning', `vm-type-${t.ref.name}`, provisioningEvents.vmTypePublished, { ...t.ref, spec: t.spec }),
    /** Requested and placed; `boot` lets it run. */
    newVm: async (vm: KnownVm) => {
      const { vmId, type, spec, hostId, epoch, topology, tenant, name = 'v' } = vm;
      const request = {
        workflowId: `op-${vmId}`,
        definition: {
          name: 'provision',
          version: 1,
          summary: 'x',
          params: {},
          deadlineMs: 1,
          tasks: [
            {
              name: 't',
              kind: 'vm.x',
              summary: 'x',
              input: {},
              deadlineMs: 1,
              route: { mode: 'group' as const, group: 'provisioning' as const },
            },
          ],
        },
        params: {},
        subject: vmId,
      };
      await world.tell(
        'provisioning',
        vmId,
        provisioningEvents.vmRequested,
        { vmId, name, tenant, uuid: topology.uuid, type, spec, image: topology.image, nics: [], request },
        tenant,
      );
      await world.tell('provisioning', vmId, provisioningEvents.vmPlaced, { vmId, hostId, epoch }, tenant);
    },
    boot: ({ vmId, hostId, epoch, topology, topologyHash, tenant }: KnownVm) => {
      const at = new Date().toISOString();
      return world.tell('provisioning', vmId, provisioningEvents.vmBooted, { vmId, hostId, epoch, topology, topologyHash, at }, tenant);
    },
    vm: async (vm: KnownVm) => {
      await world.newVm(vm);
      await world.boot(vm);
    },
    host: (facts: HostFacts) =>
      world.tell('resource-allocation', `host-${facts.hostId}`, resourceAllocationEvents.hostRegistered, { facts }),
    grant: (grantId: string, vms: string[], change: { exp?: number; tenant?: string } = {}) =>
      world.tell('agent-gateway', `grant-${grantId}`, agentGatewayEvents.grantRegistered, {
        grantId,
        tenant: change.tenant ?? 'acme',
        jws: 'a.signed.grant',
        claims: {
          jti: grantId,
          iss: 'acme',
          iat: 1,
          exp: change.exp ?? 4_000_000_000,
          vms,
          packages: [`sha256:${'b'.repeat(64)}`],
          uses: 10,
          actions: ['add-agent', 'characterise', 'reconfigure', 'run-script'],
        },
      }),

    /** Gives this service a task, as the workflow would; answers the report. */
    dispatch: async (workflowId: string, task: string, kind: string, input: Record<string, unknown>) => {
      await world.give(workflowId, task, kind, input);
      const reported = await world.until(async () =>
        (await world.stream(`task-${workflowId}`)).find((e) => (e.data as { task: string }).task === task),
      );
      return (reported.data as { outcome: { ok: boolean; cause?: { code: string } } }).outcome;
    },
    /** The same without waiting for a report. */
    give: async (
      workflowId: string,
      task: string,
      kind: string,
      input: Record<string, unknown>,
      {
        tenant = 'acme',
        attempt = 1,
        deadlineAt = '2030-01-01T00:00:00.000Z',
      }: { tenant?: string; attempt?: number; deadlineAt?: string } = {},
    ) => {
      const data = {
        workflowId,
        task,
        action: 'run',
        attempt,
        kind,
        executor: 'group:migration-templates',
        group: 'migration-templates',
        input,
        token: attempt,
        deadlineAt,
        tenant,
        at: new Date().toISOString(),
      };
      await publish({
        topic: tasksTopic('migration-templates'),
        stream: `workflow-${workflowId}`,
        type: workflowEvents.taskDispatched.type,
        data,
        tenant,
        version: 1,
      });
    },
    /** A workflow's life, as the workflow service tells it. */
    ran: async (
      { workflowId, subject, definition }: WorkflowRequest,
      end: {
        state: 'succeeded' | 'undone' | 'stopped';
        cause?: { code: string; message: string };
        output?: Record<string, unknown>;
        failing?: string;
      },
    ) => {
      const stream = `workflow-${workflowId}`;
      const [from, mid] = ['2026-11-23T10:00:00.000Z', '2026-11-23T10:00:01.500Z'];
      await world.tell('workflow', stream, workflowEvents.instanceStarted, {
        workflowId,
        definition,
        params: {},
        subject,
        at: from,
        deadlineAt: mid,
      });
      const names = (definition.tasks as TaskDefinition[]).map((t) => t.name);
      const until = end.failing ? names.indexOf(end.failing) : names.length;
      for (const task of names.slice(0, until))
        await world.tell('workflow', stream, workflowEvents.taskSucceeded, {
          workflowId,
          task,
          attempt: 1,
          executor: 'x',
          output: {},
          startedAt: '2026-11-23T10:00:00.500Z',
          endedAt: mid,
        });
      if (end.failing && end.cause)
        await world.tell('workflow', stream, workflowEvents.taskFailed, {
          workflowId,
          task: end.failing,
          attempt: 1,
          executor: 'x',
          cause: end.cause,
          final: true,
          at: mid,
        });
      if (end.state === 'undone')
        for (const task of names.slice(0, until).filter((n) => definition.tasks.find((t) => t.name === n)!.compensation))
          await world.tell('workflow', stream, workflowEvents.taskCompensated, { workflowId, task, attempt: 1, output: {} });
      await world.tell('workflow', stream, workflowEvents.instanceEnded, {
        workflowId,
        subject,
        name: definition.name,
        state: end.state,
        ...(end.cause ? { cause: end.cause } : {}),
        output: end.output ?? {},
        at: '2026-11-23T10:00:02.000Z',
      });
    },
  };
  return world;
};

const lookingOn = (database: TemporaryDatabase): RunningService => {
  const pool = database.pool();
  const bus = createBus({ kind: 'embedded', pool, connectionString: database.connectionString });
  const service = { bus, pool, schema: 'migration_templates', store: new EventStore(pool, 'migration_templates') };
  return { service, stop: () => bus.close() } as unknown as RunningService;
};
export type World = Awaited<ReturnType<typeof openWorld>>;
