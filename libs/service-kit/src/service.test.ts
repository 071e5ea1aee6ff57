import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect } from 'node:net';
import { Controller, Get, Inject, Param, Post, Put, Req } from '@nestjs/common';
import { resourceAllocationTasks, tasksTopic, type InputOf } from '@chrysalis/contracts';
import { ConcurrentAppend } from '@chrysalis/event-store';
import { busEvent, serviceConfig, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import { z } from 'zod';
import { Allow, type ApiRequest } from './access/auth.ts';
import { differences } from './http/checked-answers.ts';
import { Commands } from './http/commands.ts';
import { SERVICE, type ServiceContext } from './context.ts';
import type { ServiceConfig } from './runtime/config.ts';
import { Doc } from './http/documentation.ts';
import { Executor, OnTask, type ResultOf, type TaskContext } from './handlers/handlers.ts';
import { done, failed } from './handlers/task-results.ts';
import { parse, type ProblemError } from './http/problems.ts';
import { startService, type RunningService } from './service.ts';
import { issueToken, newSigningKey, type SigningKey } from './access/tokens.ts';

/** What comes back for bytes that no client library would send. */
const rawAnswer = (url: string, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
    socket.on('data', (chunk) => (text += String(chunk)));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });

const { release } = resourceAllocationTasks;
const Thing = z.object({
  name: z.string().min(1),
  size: z.int().positive(),
  parts: z.array(z.object({ id: z.string(), colour: z.string().optional() })).optional(),
});

const Settings = z.object({ limit: z.int().optional() });
const Id = z.object({ id: z.string() });

@Controller()
class ThingsController {
  constructor(@Inject(Commands) private readonly commands: Commands) {}
  @Put('/v1/migrations/settings')
  @Allow('operator')
  @Doc({ summary: 'Set', answers: { 200: Settings } })
  settings(@Req() request: ApiRequest): Promise<unknown> {
    return this.commands.run(request, Settings, async (body) => ({ status: 200, body }));
  }
  @Post('/v1/vms')
  @Allow('operator')
  @Doc({ summary: 'Make', answers: { 201: Id } })
  create(@Req() request: ApiRequest): Promise<unknown> {
    return this.commands.run(request, Thing, async (body, ctx) => {
      if (body.name === 'hot') throw new ConcurrentAppend(['thing-hot']);
      await ctx.append(`thing-${body.name}`, 'any', { type: 'chrysalis.test.thing.made.v1', data: body });
      return { status: 201, body: { id: ctx.newId('thing') } };
    });
  }
}

@Controller()
class ThingController {
  constructor(@Inject(SERVICE) private readonly service: ServiceContext) {}
  @Get('/v1/migrations/cut')
  @Allow('viewer')
  @Doc({ summary: 'Lose the database', answers: { 200: z.unknown() } })
  cut(): Promise<unknown> {
    return this.service.pool.query('set role none; select pg_terminate_backend(pg_backend_pid())');
  }
  @Get('/v1/vms/:id')
  @Allow('viewer')
  @Doc({ summary: 'One', answers: { 200: Id.extend({ of: z.object({ parts: z.array(Id) }).optional() }) } })
  one(@Param('id') id: string): object {
    if (id === 'too-much') return { id, of: { parts: [{ id, colour: 'red' }] } };
    return id === 'too-little' ? {} : { id };
  }
}

@Executor()
class Releases {
  @OnTask(release)
  async release({ vmId }: InputOf<typeof release>, { tx }: TaskContext): ResultOf<typeof release> {
    await tx.query('insert into resource_allocation.effects values ($1)', [vmId]);
    if (vmId === 'vm-2') return failed({ code: 'allocation.unknown', message: 'no hold', retriable: false });
    if (vmId === 'vm-3') throw new Error('a bug');
    return done({});
  }
}

@Controller()
class ForgetfulController {
  @Get('/v1/vms')
  open(): object {
    return {};
  }
}

@Controller()
class SilentController {
  @Get('/v1/vms')
  @Allow('viewer')
  @Doc({ summary: 'All', answers: { 200: 'A list', 404: '`vm.unknown`' } })
  vague(): object {
    return {};
  }
  @Get('/v1/hosts')
  @Allow('viewer')
  bare(): object {
    return {};
  }
}

const dispatch = (attempt: number, amounts: number) => ({
  workflowId: 'op-1',
  task: 'hold',
  action: 'run',
  attempt,
  kind: 'allocation.release',
  executor: 'group:resource-allocation',
  group: 'resource-allocation',
  input: { consumer: { kind: 'vm', id: `vm-${amounts}` }, vmId: `vm-${amounts}`, reason: 'test' },
  token: attempt,
  deadlineAt: '2030-01-01T00:00:00Z',
  tenant: 'main',
});

describe('a service', () => {
  let database: TemporaryDatabase;
  let key: SigningKey;
  let service: RunningService;
  let operator: string;
  let viewer: string;
  const config = (): ServiceConfig => serviceConfig(database, key, 4);

  beforeAll(async () => {
    database = await temporaryDatabase();
    key = await newSigningKey();
    operator = await issueToken(key.privateJwk, { sub: 'olga', roles: ['operator'], tenant: 'main' });
    viewer = await issueToken(key.privateJwk, { sub: 'vera', roles: ['viewer'], tenant: 'main' });
    service = await startService(config(), {
      context: 'resource-allocation',
      schema: 'resource_allocation',
      migrations: [{ number: 1001, name: 'effects', sql: 'create table effects (vm text primary key)' }],
      controllers: [ThingsController, ThingController],
      handlers: [Releases],
    });
  });
  afterAll(async () => {
    await service?.stop();
    await database?.drop();
  });

  const post = (body: unknown, headers: Record<string, string> = {}, token = operator): Promise<Response> =>
    fetch(`${service.url}/v1/vms`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  const events = async (): Promise<number> =>
    Number((await service.service.pool.query(`select count(*) from resource_allocation.events where type like '%thing%'`)).rows[0].count);

  test('does not start with a route that says not what it needs', async () => {
    await expect(
      startService(config(), { context: 'resource-allocation', schema: 'resource_allocation', controllers: [ForgetfulController] }),
    ).rejects.toThrow('ForgetfulController.open');
  });

  test('does not start with a route that says not what it answers', async () => {
    await expect(
      startService(config(), { context: 'resource-allocation', schema: 'resource_allocation', controllers: [SilentController] }),
    ).rejects.toThrow(/schema of their answer.*SilentController.vague, SilentController.bare$/);
  });

  test('in tests an answer is what its route declares, to the last member', async () => {
    const one = (id: string): Promise<Response> =>
      fetch(`${service.url}/v1/vms/${id}`, { headers: { authorization: `Bearer ${operator}` } });
    expect([(await one('fine')).status, (await one('too-little')).status, (await one('too-much')).status]).toEqual([200, 500, 500]);
    const InAnother = z.object({ id: z.string(), of: z.object({ parts: z.array(Id) }) });
    expect(differences(InAnother, { id: 'a', of: { parts: [{ id: 'p', colour: 'red' }] }, at: 1 })).toEqual([
      'of.parts.0.colour: not declared',
      'at: not declared',
    ]);
    expect(differences(InAnother, { id: undefined, of: { parts: [] } })).toEqual([expect.stringMatching(/^id: /)]);
  });

  test('answers bad input with a problem, names every fault, and changes nothing', async () => {
    const before = await events();
    const cases: [unknown, Record<string, string>, string, number, string][] = [
      [{ name: '', size: -1 }, {}, operator, 422, 'request.invalid'],
      ['{"name":', {}, operator, 400, 'request.malformed'],
      [{ name: 'x'.repeat(1_100_000), size: 1 }, {}, operator, 413, 'request.too_large'],
      [{ name: 'a', size: 1 }, {}, viewer, 403, 'auth.denied'],
      [{ name: 'a', size: 1 }, {}, 'nonsense', 401, 'auth.required'],
    ];
    for (const [body, headers, token, status, code] of cases) {
      const answer = await post(body, headers, token);
      const problem = (await answer.json()) as { code: string; errors?: { path: string }[] };
      expect([answer.status, problem.code, answer.headers.get('content-type')?.split(';')[0]]).toEqual([
        status,
        code,
        'application/problem+json',
      ]);
      if (code === 'request.invalid') expect(problem.errors!.map((e) => e.path)).toEqual(['name', 'size']);
    }
    expect(await events()).toBe(before);
  });

  test('refuses members that it does not know, at any depth: a slip in an optional one must not go unseen', async () => {
    const answer = await post({
      name: 'a',
      size: 1,
      parts: [
        { id: 'x', colour: 'red' },
        { id: 'y', color: 'red' },
      ],
      weight: 2,
    });
    const problem = (await answer.json()) as { code: string; errors: { path: string }[] };
    expect([answer.status, problem.code, problem.errors.map((e) => e.path)]).toEqual([422, 'request.invalid', ['parts.1.color', 'weight']]);
  });

  test('a PUT says in full what there is to be: without a body it takes nothing away', async () => {
    const put = async (body?: string): Promise<number> => {
      const headers = { authorization: `Bearer ${operator}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
      return (await fetch(`${service.url}/v1/migrations/settings`, { method: 'PUT', headers, ...(body === undefined ? {} : { body }) }))
        .status;
    };
    expect([await put(), await put('null'), await put('{}'), await put('{"limit":3}')]).toEqual([422, 422, 200, 200]);
  });

  test('names the fault in a choice of shapes, not only the choice', () => {
    const Step = z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('walk') }),
      z.object({ kind: z.literal('run'), far: z.number() }),
    ]);
    const Either = z.union([
      z.strictObject({ name: z.string(), spec: z.number() }),
      z.strictObject({ name: z.string(), steps: z.array(Step) }),
    ]);
    const faults = (body: unknown): unknown => {
      try {
        return parse(Either, body);
      } catch (error) {
        return (error as ProblemError).problem['errors'];
      }
    };
    expect(faults({ name: 'x', steps: [{ kind: 'fly' }] })).toMatchObject([{ path: 'steps.0.kind' }]);
    expect(faults({ name: 'x', steps: [{ kind: 'walk' }, { kind: 'run', far: 'y' }] })).toMatchObject([{ path: 'steps.1.far' }]);
    expect(faults({ name: 'x' })).toMatchObject([{ path: 'spec' }]);
  });

  test('refuses text that PostgreSQL cannot keep, wherever it stands', async () => {
    for (const name of ['a\u0000b', 'half \ud800']) {
      const answer = await post({ name, size: 1 });
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([422, 'request.text_invalid']);
    }
    const answer = await fetch(`${service.url}/v1/vms/%00`, { headers: { authorization: `Bearer ${operator}` } });
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([422, 'request.text_invalid']);
  });

  test('answers with a problem, and with what to do, also where there is no route and no HTTP', async () => {
    const at = async (path: string, headers: Record<string, string> = {}): Promise<[number, string | undefined, string, boolean]> => {
      const answer = await fetch(`${service.url}${path}`, { headers });
      const { code, detail } = (await answer.json()) as { code: string; detail?: string };
      return [answer.status, answer.headers.get('content-type')?.split(';')[0], code, Boolean(detail)];
    };
    const type = 'application/problem+json';
    expect(await at('/v1/vms/%ff')).toEqual([400, type, 'request.malformed', true]);
    expect(await at(`/v1/vms/${'a'.repeat(300)}`)).toEqual([414, type, 'request.too_long', true]);
    expect(await at('/nowhere')).toEqual([404, type, 'route.unknown', true]);
    expect(await at('/health/live', { authorization: 'x'.repeat(20_000) })).toEqual([431, type, 'request.headers_too_large', true]);
    const raw = await rawAnswer(service.url, 'no such thing\r\n\r\n');
    expect(raw).toMatch(/^HTTP\/1\.1 400 [^]*application\/problem\+json[^]*"code":"request\.malformed"/);
  });

  test('does a command once for one Idempotency-Key, also when both come at the same time', async () => {
    const before = await events();
    const body = { name: 'one', size: 1 };
    const answers = await Promise.all([1, 2, 3, 4].map(() => post(body, { 'idempotency-key': 'k1' })));
    const ids = new Set(await Promise.all(answers.map(async (a) => ((await a.json()) as { id: string }).id)));
    expect(answers.map((a) => a.status)).toEqual([201, 201, 201, 201]);
    expect(ids.size).toBe(1);
    expect(await events()).toBe(before + 1);
    expect(((await (await post({ name: 'two', size: 1 }, { 'idempotency-key': 'k1' })).json()) as { code: string }).code).toBe(
      'idempotency.key_reused',
    );
  });

  test('answers 503, and when to come again, where the turn of a command does not come', async () => {
    const before = await events();
    const answer = await post({ name: 'hot', size: 1 }, { 'idempotency-key': 'hot' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ code: 'service.contended', next: expect.stringContaining('Idempotency-Key') });
    expect(await events()).toBe(before);
  });

  test('forgets answers a day after they were given, and says how many', async () => {
    const { pool } = service.service;
    const keep = `insert into resource_allocation.idempotency (tenant, key, route, request_hash, answer, at) values ('main', $1, 'r', 'h', '{}', now() - $2::interval)`;
    await pool.query(keep, ['yesterday', '25 hours']);
    await pool.query(keep, ['today', '23 hours']);
    const other = await startService(config(), { context: 'resource-allocation', schema: 'resource_allocation', controllers: [] });
    const metrics = async (): Promise<string> => (await fetch(`${other.url}/metrics`)).text();
    await until(async () => /chrysalis_forgotten_rows_total\{what="idempotency"[^}]*\} 1$/m.test(await metrics()));
    const { rows } = await pool.query(`select key from resource_allocation.idempotency where key in ('yesterday', 'today')`);
    expect(rows).toEqual([{ key: 'today' }]);
    await other.stop();
  });

  test('refuses an Idempotency-Key that it could not keep whole: cut, two keys would be one', async () => {
    const before = await events();
    const [a, b] = ['a', 'b'].map((end) => 'k'.repeat(255) + end);
    const answers = [
      await post({ name: 'long', size: 1 }, { 'idempotency-key': a! }),
      await post({ name: 'long', size: 1 }, { 'idempotency-key': b! }),
    ];
    for (const answer of answers)
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([422, 'idempotency.key_invalid']);
    expect(await events()).toBe(before);
    expect((await post({ name: 'long', size: 1 }, { 'idempotency-key': 'k'.repeat(255) })).status).toBe(201);
  });

  test('says of a database that is away that one should come again, and when', async () => {
    const answer = await fetch(`${service.url}/v1/migrations/cut`, { headers: { authorization: `Bearer ${viewer}` } });
    expect([answer.status, answer.headers.get('retry-after'), ((await answer.json()) as { code: string }).code]).toEqual([
      503,
      '1',
      'service.unavailable',
    ]);
    expect((await post({ name: 'after', size: 1 })).status).toBe(201);
  });

  test('knows who asks before it reads what, and waits for neither for ever', async () => {
    const half = (token: string): string =>
      `POST /v1/vms HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{"name":`;
    const began = Date.now();
    expect(await rawAnswer(service.url, half('nonsense'))).toMatch(/^HTTP\/1\.1 401 [^]*"code":"auth\.required"/);
    expect(await rawAnswer(service.url, half(viewer))).toMatch(/^HTTP\/1\.1 403 /);
    expect(await rawAnswer(service.url, half(viewer).replace('/v1/vms', '/v1/nowhere'))).toMatch(
      /^HTTP\/1\.1 404 [^]*"code":"route\.unknown"/,
    );
    expect(Date.now() - began).toBeLessThan(10_000); // not the time that a body may take
    const { server } = service;
    expect([server.requestTimeout, server.headersTimeout]).toEqual([15_000, 15_000]);
    server.requestTimeout = server.headersTimeout = 300;
    expect(await rawAnswer(service.url, half(operator))).toMatch(/^HTTP\/1\.1 408 [^]*"code":"request\.timeout"/);
    server.requestTimeout = server.headersTimeout = 15_000;
  });

  test('reports a task with its effect, and rolls the effect of a failed one back', async () => {
    const { bus, store, pool } = service.service;
    const event = (n: number, data: unknown) =>
      busEvent('workflow-op-1', 'chrysalis.workflow.task.dispatched.v1', data, { id: `00000000-0000-7000-8000-00000000000${n}` });
    const topic = tasksTopic('resource-allocation');
    const messages = [1, 2, 3].map((n) => ({ topic, event: event(n, dispatch(n, n)) }));
    await bus.publish([...messages, messages[0]!]);
    const reports = async () =>
      (await store.read('task-op-1'))
        .map((e) => e.data as { attempt: number; outcome: { ok: boolean; cause?: { code: string } } })
        .map((r) => [r.attempt, r.outcome.ok, r.outcome.cause?.code]);
    for (let i = 0; i < 100 && (await reports()).length < 3; i++) await new Promise((r) => setTimeout(r, 50));
    expect(await reports()).toEqual([
      [1, true, undefined],
      [2, false, 'allocation.unknown'],
      [3, false, 'executor.fault'],
    ]);
    expect((await pool.query('select vm from resource_allocation.effects order by vm')).rows).toEqual([{ vm: 'vm-1' }]);
  });

  test('describes itself', async () => {
    const document = (await (await fetch(`${service.url}/openapi.json`)).json()) as { openapi: string; paths: Record<string, unknown> };
    expect(document.openapi).toBe('3.1.0');
    expect(Object.keys(document.paths)).toContain('/v1/vms');
    expect((await fetch(`${service.url}/health/ready`)).status).toBe(200);
  });
});
