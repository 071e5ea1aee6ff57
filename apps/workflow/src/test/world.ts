import { task, type TaskGroup, type WorkflowDefinition, type WorkflowRequest } from '@chrysalis/contracts';
import type { EventMeta } from '@chrysalis/event-store';
import {
  Executor,
  issueToken,
  newSigningKey,
  OnTask,
  startService,
  type RunningService,
  type ServiceConfig,
  type TaskContext,
  type TaskResult,
} from '@chrysalis/service-kit';
import { serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import type { LocalKinds } from '../local/local.ts';
import { start } from '../main.ts';

const anything = z.record(z.string(), z.unknown());
export type Behaviour = (
  input: Record<string, unknown>,
  context: TaskContext,
) => Promise<TaskResult<Record<string, unknown>>> | TaskResult<Record<string, unknown>>;

type Answer = Promise<TaskResult<Record<string, unknown>>>;
type Execute = (input: Record<string, unknown>, context: TaskContext) => Answer;
const executorOf = (group: TaskGroup, prefix: string, execute: Execute) => {
  const kind = (name: string) => task(group, `${prefix}.${name}`, name, anything, anything);
  @Executor()
  class Executes {
    @OnTask(kind('do'))
    do(input: Record<string, unknown>, context: TaskContext): Answer {
      return execute(input, context);
    }

    @OnTask(kind('undo'))
    undo(input: Record<string, unknown>, context: TaskContext): Answer {
      return execute(input, context);
    }
  }
  return Executes;
};

/** A database, the workflow service, and two services that execute `alpha.*` and `beta.*` tasks as they are told to. */
export class World {
  readonly running: RunningService[] = [];
  readonly executed: string[] = [];
  behaviour: Behaviour = () => ({ ok: true, output: {} });

  private constructor(
    readonly database: TemporaryDatabase,
    readonly config: ServiceConfig,
    readonly token: string,
    readonly tokenFor: (role: 'viewer' | 'operator' | 'admin' | 'fleet', tenant: string) => Promise<string>,
  ) {}

  static async open(): Promise<World> {
    const [database, key] = await Promise.all([temporaryDatabase(), newSigningKey()]);
    const tokenFor: World['tokenFor'] = (role, tenant) =>
      issueToken(key.privateJwk, { sub: 'anna', roles: role === 'fleet' ? ['admin', 'fleet'] : [role], tenant });
    const config: ServiceConfig = serviceConfig(database, key);
    return new World(database, config, await tokenFor('operator', 'acme'), tokenFor);
  }

  /** With both executors and one instance of the service. */
  static async started(kinds: LocalKinds = {}): Promise<World> {
    const world = await World.open();
    await world.startExecutors();
    await world.startWorkflow(kinds);
    return world;
  }

  async startExecutors(): Promise<void> {
    const execute: Execute = async (input, context) => {
      const { task: name, action, attempt } = context.dispatch;
      this.executed.push(`${action} ${name} ${attempt}`);
      return this.behaviour(input, context);
    };
    for (const [context, schema, prefix] of [
      ['provisioning', 'provisioning', 'alpha'],
      ['resource-allocation', 'resource_allocation', 'beta'],
    ] as const)
      this.running.push(
        await startService(this.config, {
          context,
          schema,
          handlers: [executorOf(context, prefix, execute)],
        }),
      );
  }

  async startWorkflow(kinds: LocalKinds = {}): Promise<RunningService> {
    const service = await start(this.config, kinds);
    this.running.push(service);
    return service;
  }

  /** What a context does that asks for a workflow. */
  async ask(
    definition: WorkflowDefinition,
    params: Record<string, unknown> = {},
    workflowId = `op-${uuidv7()}`,
    tenant = 'acme',
    stream = `vm-${workflowId}`,
  ): Promise<string> {
    const request: WorkflowRequest = { workflowId, definition, params, subject: 'vm-1' };
    const event = {
      id: uuidv7(),
      type: 'chrysalis.provisioning.vm.deletion-requested.v1',
      data: { vmId: 'vm-1', request },
      meta: { ...meta(workflowId), tenant },
    };
    const asking = this.running.find((s) => s.context === 'provisioning')!;
    await asking.service.store.append({ stream, expected: 'any', events: [event] });
    return workflowId;
  }

  async get<T = Record<string, unknown>>(
    path: string,
    of = this.workflow,
    token = this.token,
  ): Promise<{ status: number; body: T; text: string }> {
    const response = await fetch(`${of.url}${path}`, { headers: { authorization: `Bearer ${token}` } });
    const text = await response.text();
    return { status: response.status, text, body: (text.startsWith('{') && !text.includes('}\n{') ? JSON.parse(text) : undefined) as T };
  }

  async post(path: string, body: unknown, more: Asking = {}): Promise<Answered> {
    return this.send('POST', path, body, more);
  }

  /** `text`: the body as it is, for what no JSON library would write. */
  async send(
    method: string,
    path: string,
    body: unknown,
    { token = this.token, key, of = this.workflow, text, headers: more = {} }: Asking = {},
  ): Promise<Answered> {
    const headers = {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      ...(key === undefined ? {} : { 'idempotency-key': key }),
      ...more,
    };
    const response = await fetch(`${of.url}${path}`, { method, headers, body: text ?? JSON.stringify(body ?? {}) });
    return { status: response.status, body: (await response.json()) as Record<string, unknown>, headers: response.headers };
  }

  /** The view of the instance once `state` holds of it. */
  async until(workflowId: string, ready: (view: View) => boolean, ms = 120_000): Promise<View> {
    for (const end = Date.now() + ms; ;) {
      const { status, body } = await this.get<View>(`/v1/workflows/${workflowId}`);
      if (status === 200 && ready(body)) return body;
      if (Date.now() > end) throw new Error(`not within ${ms} ms: ${JSON.stringify(body).slice(0, 2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * Until the look at an instance that was next is past, and another one has been put in its place: who executes a task of it has said
   * that it lives. Answers how far ahead the next look was, in ms by the database's clock, each time that it was asked for.
   */
  async outlivesLook(workflowId: string): Promise<number[]> {
    const text = `select (extract(epoch from at) * 1000)::float8 as at, (extract(epoch from now()) * 1000)::float8 as now
      from workflow.timers where workflow_id = $1`;
    const look = async () => (await this.running[0]!.service.pool.query<{ at: number; now: number }>(text, [workflowId])).rows[0];
    const [first, ahead] = [await until(look), [] as number[]];
    await until(async () => {
      const next = await look();
      if (!next) return false;
      ahead.push(next.at - next.now);
      return next.now > first.at && next.at > first.at;
    });
    return ahead;
  }

  get workflow(): RunningService {
    return this.running.findLast((s) => s.context === 'workflow')!;
  }

  async stop(service: RunningService): Promise<void> {
    this.running.splice(this.running.indexOf(service), 1);
    await service.stop();
  }

  async close(): Promise<void> {
    for (const service of this.running.splice(0).reverse()) await service.stop();
    await this.database.drop();
  }
}

export type Asking = {
  readonly token?: string;
  readonly key?: string;
  readonly of?: RunningService;
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
};
export type Answered = { readonly status: number; readonly body: Record<string, unknown>; readonly headers: Headers };
export type View = {
  readonly state: string;
  readonly cause?: { code: string };
  readonly output?: unknown;
  readonly missing?: string[];
  readonly streamVersion: number;
  readonly tasks: { name: string; state: string; attempts: { attempt: number; action: string; dispatchedAt: string }[] }[];
};
export const ended = (view: View): boolean => !['queued', 'running', 'compensating'].includes(view.state);
export const meta = (correlationId: string): EventMeta => ({
  at: new Date().toISOString(),
  correlationId,
  actor: 'user:anna',
  tenant: 'acme',
});
