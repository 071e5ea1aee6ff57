import { readdirSync, readFileSync } from 'node:fs';
import { Controller, Delete, Inject, Post, Req } from '@nestjs/common';
import { contexts, contractOf, eventsByContext, type Context, type DataOf, type EventContract } from '@chrysalis/contracts';
import { start as startProjector } from '@chrysalis/projector-app';
import {
  Allow,
  Commands,
  Doc,
  issueToken,
  newSigningKey,
  startService,
  type ApiRequest,
  type Role,
  type RunningService,
  type ServiceConfig,
} from '@chrysalis/service-kit';
import { serviceConfig, temporaryDatabase, until } from '@chrysalis/testing';
import { v7 as uuidv7 } from 'uuid';
import { z } from 'zod';
import { start as startAdmin } from '../main.ts';

/** An owner of one command that is real as far as this door can see: an append, an idempotent answer, a relay. */
@Controller()
class VmsController {
  constructor(@Inject(Commands) private readonly commands: Commands) {}

  @Post('/v1/vms')
  @Allow('operator')
  @Doc({ summary: 'Create', body: z.object({ name: z.string() }), answers: { 202: z.object({ operation: z.string(), vmId: z.string() }) } })
  create(@Req() request: ApiRequest) {
    return this.commands.run(request, z.object({ name: z.string().min(2) }), async ({ name }, ctx) => {
      const vmId = ctx.newId('vm');
      const { data } = example('chrysalis.provisioning.vm.requested.v1') as unknown as { data: { request: object } };
      const operation = ctx.newId('op');
      const event = {
        type: 'chrysalis.provisioning.vm.requested.v1',
        data: { ...data, vmId, name, request: { ...data.request, workflowId: operation, subject: vmId } },
      };
      await ctx.append(vmId, 'noStream', event);
      return { status: 202, body: { operation, vmId }, headers: { location: `/v1/vms/${vmId}` } };
    });
  }

  @Delete('/v1/vms/:id')
  @Allow('operator')
  @Doc({ summary: 'Delete', answers: { 202: z.object({ operation: z.string() }) } })
  remove(@Req() request: ApiRequest) {
    return this.commands.run(request, z.object({}), async () => ({ status: 202, body: { operation: 'op-x' } }));
  }
}

const folder = new URL('../../../../libs/contracts/examples/', import.meta.url);
const corpus = readdirSync(folder).map((f) => JSON.parse(readFileSync(new URL(f, folder), 'utf8')) as Example);
export type Example = {
  id: string;
  type: string;
  stream: string;
  version: number;
  data: Record<string, unknown>;
  meta: { at: string; correlationId: string; actor: string; tenant: string };
};
export const example = (type: string): Example => corpus.find((e) => e.type === type)!;
export const dataOf = <C extends EventContract>({ type }: C): DataOf<C> => example(type).data as DataOf<C>;
/** Streams from their first event on: a VM or a query that begins in the middle no service writes, and none is answered. */
const whole = new Set(corpus.filter((e) => e.version === 1 || e.stream.startsWith('host-')).map((e) => e.stream));
export const history: readonly Example[] = corpus
  .filter((e) => whole.has(e.stream))
  .toSorted((a, b) => a.stream.localeCompare(b.stream) || a.version - b.version);

export type Plane = {
  readonly url: string;
  readonly services: Map<string, RunningService>;
  readonly token: (roles: readonly Role[], tenant?: string, expires?: string) => Promise<string>;
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>;
  readonly append: (context: Context, stream: string, type: string, data: unknown, tenant?: string) => Promise<void>;
  /** Stops a service, and starts it at its port again; what is done `meanwhile` begins while it is away. */
  readonly restart: <T>(context: Context | 'admin-api', meanwhile?: () => Promise<T>) => Promise<T | undefined>;
  stop(): Promise<void>;
};

/** The projector, this door and its owners over the embedded bus, with the corpus as history. */
export const startPlane = async (): Promise<Plane> => {
  const database = await temporaryDatabase();
  const key = await newSigningKey();
  const config: ServiceConfig = serviceConfig(database, key, 4);
  const services = new Map<string, RunningService>();
  const startOwner = async (context: Context, port = 0): Promise<void> => {
    const definition = { context, schema: context.replaceAll('-', '_'), controllers: context === 'provisioning' ? [VmsController] : [] };
    services.set(context, await startService({ ...config, port }, definition));
  };
  for (const c of contexts) await startOwner(c);
  const serviceUrls = Object.fromEntries(contexts.map((c) => [c, services.get(c)!.url])) as NonNullable<ServiceConfig['serviceUrls']>;
  services.set('projector', await startProjector(config));
  const admin = await startAdmin({ ...config, serviceUrls });
  services.set('admin-api', admin);
  const token = (roles: readonly Role[], tenant = 'acme', expires = '12h'): Promise<string> =>
    issueToken(key.privateJwk, { sub: 'anna', roles, tenant }, expires);
  const own = await token(['admin', 'fleet']);
  const append: Plane['append'] = async (context, stream, type, data, tenant = 'acme') => {
    const meta = { at: new Date().toISOString(), correlationId: 'test', actor: 'user:anna', tenant };
    contractOf.get(type)!.schema.parse(data);
    await services.get(context)!.service.store.append({ stream, expected: 'any', events: [{ id: uuidv7(), type, data, meta }] });
  };
  const plane: Plane = {
    url: admin.url,
    services,
    token,
    append,
    get: (path, headers = {}) => fetch(`${admin.url}${path}`, { headers: { authorization: `Bearer ${own}`, ...headers } }),
    restart: async (context, meanwhile) => {
      const { url } = services.get(context)!;
      await services.get(context)!.stop();
      const done = meanwhile?.();
      done?.catch(() => undefined); // told below
      await new Promise((r) => setTimeout(r, 500));
      const port = Number(new URL(url).port);
      if (context === 'admin-api') services.set(context, await startAdmin({ ...config, port, serviceUrls }));
      else await startOwner(context, port);
      return done;
    },
    stop: async () => {
      for (const s of [...services.values()].reverse()) await s.stop();
      await database.drop();
    },
  };
  for (const e of history) await replay(services, e);
  return plane;
};

const replay = async (services: Map<string, RunningService>, e: Example): Promise<void> => {
  const context = contexts.find((c) => Object.values(eventsByContext[c]).some((k) => k.type === e.type))!;
  await services
    .get(context)!
    .service.store.append({ stream: e.stream, expected: 'any', events: [{ id: e.id, type: e.type, data: e.data, meta: e.meta }] });
};

/** Until the read models have all of the history. */
export const projected = async (plane: Plane): Promise<void> => {
  const { pool } = plane.services.get('projector')!.service;
  await until(async () => (await pool.query('select from read.feed')).rows.length === history.length);
};

/** Server-Sent Events until `count` of them have come or the stream ends. `begun` is called once it is said where the stream begins. */
export const sse = async (
  response: Response,
  count = Infinity,
  begun: () => void = () => undefined,
): Promise<{ id?: string; event: string; data: Record<string, unknown> }[]> => {
  const seen: { id?: string; event: string; data: Record<string, unknown> }[] = [];
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = Object.fromEntries(
        text
          .slice(0, end)
          .split('\n')
          .map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 2)]),
      );
      text = text.slice(end + 2);
      if (lines['event'] === 'position') begun();
      if (lines['event'] && lines['event'] !== 'position')
        seen.push({ ...(lines['id'] ? { id: lines['id'] } : {}), event: lines['event'], data: JSON.parse(lines['data']!) });
      if (seen.length >= count) return seen;
    }
  }
  return seen;
};
