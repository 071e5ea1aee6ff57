import {
  Controller,
  Get,
  Inject,
  Module,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
  type Provider,
  type Type,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { contexts, deadTopic, eventsTopic, tasksTopic, views, type Context } from '@chrysalis/contracts';
import { afterLog, appRole, EventStore, migrate, type Migration, type StoredEvent, type Upcast } from '@chrysalis/event-store';
import { createBus, startRelay, toCloudEvent, type CloudEvent, type EventBus } from '@chrysalis/messaging';
import type { FastifyReply } from 'fastify';
import pg from 'pg';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { map, type Observable } from 'rxjs';
import { z } from 'zod';
import { Allow, guard } from './auth.ts';
import { BoundsGuard } from './bounds.ts';
import { Answer, Commands } from './commands.ts';
import type { ServiceConfig } from './config.ts';
import { clock, newId, SERVICE, type ServiceContext } from './context.ts';
import { CheckedAnswers, checksAnswers } from './checked-answers.ts';
import { Doc, documentedRoutes, guardedRoutes, Media } from './documentation.ts';
import { EventBusStrategy } from './event-bus-strategy.ts';
import { createLog } from './log.ts';
import { openApi } from './openapi.ts';
import { DeadLettersController } from './dead-letters.ts';
import { ProblemError, ProblemFilter } from './problems.ts';
import { QueryGuard } from './query.ts';
import { RELAY_ROUTE, RelayAuditController, type RelayRoute } from './relay-audit.ts';
import { ANSWERS_KEPT, sweep } from './sweep.ts';
import { unroutable } from './unroutable.ts';
import { upcast, upcastingBus } from './upcast.ts';

export type Routed = { readonly topic: string; readonly event: CloudEvent };
export type ServiceDefinition = {
  readonly context: Context | 'projector' | 'admin-api';
  readonly schema: string;
  /** Of its own schema, numbered from 1001: they come after those of the log. Run at start, each once. */
  readonly migrations?: readonly Migration[];
  readonly controllers?: readonly Type[];
  readonly providers?: readonly Provider[];
  /** Classes whose methods take events and tasks: `@Consumer` and `@Executor`. Nest's controllers as well, so they have what is injected. */
  readonly handlers?: readonly Type[];
  /** How events of older versions are read; as the contracts say unless told. */
  readonly upcast?: Upcast;
  /** Topics beside the context's own `…events`. */
  readonly route?: (event: StoredEvent, cloudEvent: CloudEvent) => readonly Routed[];
  /** Timers, sockets, subscriptions of a service's own; each returns its stop, or a part whose health counts for readiness. Run after the consumers are up. */
  readonly background?: readonly ((service: ServiceContext) => Promise<Part | Part['stop']>)[];
};
export type RunningService = { readonly context: string; readonly url: string; readonly service: ServiceContext; stop(): Promise<void> };

export type Part = { stop(): Promise<void>; health?: () => { ok: boolean; reason?: string } };

/** A service's own routes, and those that each has. */
const routed = (context: ServiceDefinition['context'], controllers: readonly Type[] = []): Type[] => [
  ...controllers,
  HealthController,
  ...(isContext(context) || context === 'projector' ? [DeadLettersController] : []),
  ...(isContext(context) ? [RelayAuditController] : []),
];
/** What a service of these routes says of itself, without starting it. */
export const documentOf = (context: ServiceDefinition['context'], controllers: readonly Type[]): Record<string, unknown> =>
  openApi(`Chrysalis ${context}`, routed(context, controllers));

/** Starts in the order that is safe: tables, HTTP (not ready yet), relay, consumers, background. Stops in reverse. */
export const startService = async (config: ServiceConfig, definition: ServiceDefinition): Promise<RunningService> => {
  const controllers = [...routed(definition.context, definition.controllers), ...(definition.handlers ?? [])];
  guardedRoutes(controllers);
  documentedRoutes(controllers);
  const parts: Part[] = [];
  const stop = async (): Promise<void> => {
    for (const part of parts.splice(0).reverse()) await part.stop();
  };
  try {
    const service = await openContext(config, definition, parts);
    const { app, health, strategy } = await startHttp(service, definition, controllers, parts);
    await startMessaging(service, definition, parts, strategy);
    await app.startAllMicroservices();
    parts.push({ stop: sweep(service, 'idempotency', () => service.store.forgetAnswers(ANSWERS_KEPT)) });
    for (const start of definition.background ?? []) {
      const part = await start(service);
      parts.push(typeof part === 'function' ? { stop: part } : part);
    }
    health.ready = () => parts.flatMap((p) => (p.health ? [p.health()] : []));
    const url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
    service.log.info({ url }, 'ready');
    return { context: definition.context, url, service, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

const openContext = async (
  config: ServiceConfig,
  definition: ServiceDefinition,
  parts: Part[],
): Promise<ServiceContext & { app?: NestFastifyApplication }> => {
  const { context, schema } = definition;
  const log = createLog(context);
  const newest = definition.upcast ?? upcast;
  const { applied, unknown } = await migrate(config.databaseUrl, schema, afterLog(definition.migrations));
  if (applied.length > 0) log.info({ applied }, 'tables changed');
  if (unknown.length > 0) log.warn({ unknown }, 'a newer release has changed the tables');
  // From here on by the role that may change and delete no event.
  const pool = new pg.Pool({
    connectionString: config.databaseUrl,
    options: `-c role=${appRole}`,
    max: config.poolSize,
    application_name: `chrysalis-${context}`,
  });
  pool.on('error', ({ message }) => log.warn({ message }, 'a database connection was lost'));
  parts.push({ stop: () => pool.end() });
  const bus: EventBus =
    config.bus.kind === 'embedded'
      ? createBus({ kind: 'embedded', pool, connectionString: config.databaseUrl })
      : createBus({ kind: 'kafka', brokers: config.bus.brokers, clientId: `${context}-${config.instance}` });
  parts.push({ stop: () => bus.close() });
  const metrics = new Registry();
  metrics.setDefaultLabels({ service: context });
  if (process.env['CHRYSALIS_PROCESS_METRICS'] !== 'off') collectDefaultMetrics({ register: metrics });
  let http: NestFastifyApplication | undefined;
  return {
    context,
    schema,
    pool,
    store: new EventStore(pool, schema, { upcast: newest }),
    bus: upcastingBus(bus, newest),
    log,
    config,
    metrics,
    clock,
    newId,
    http: () => {
      if (!http) throw new Error('HTTP is not up yet');
      return http.getHttpAdapter().getInstance();
    },
    set app(value: NestFastifyApplication) {
      http = value;
    },
  };
};

/** So long a request may take to come in, headers and body; then it is `request.timeout`, and its memory is free. */
const REQUEST_MS = 15_000;

type Health = { ready: () => { ok: boolean; reason?: string }[] };
const HEALTH = Symbol('chrysalis.health');
const OPENAPI = Symbol('chrysalis.openapi');

@Controller()
class HealthController {
  constructor(
    @Inject(HEALTH) private readonly health: Health,
    @Inject(SERVICE) private readonly service: ServiceContext,
    @Inject(OPENAPI) private readonly document: object,
  ) {}

  @Get('/health/live')
  @Allow('public')
  @Doc({ summary: 'The process answers', answers: { 200: views.Ok } })
  live(): object {
    return { ok: true };
  }

  @Get('/health/ready')
  @Allow('public')
  @Doc({ summary: 'Database, relay and consumers work', answers: { 200: views.Ok, 503: 'Not ready, with reasons' } })
  async ready(): Promise<object> {
    await this.service.pool.query('select 1');
    const bad = this.health.ready().filter((h) => !h.ok);
    if (bad.length > 0) throw ProblemError.of({ code: 'service.not_ready', message: bad.map((b) => b.reason ?? 'unknown').join('; ') });
    return { ok: true };
  }

  @Get('/metrics')
  @Allow('public')
  @Doc({ summary: 'Prometheus metrics', answers: { 200: new Media('text/plain', 'As Prometheus reads it') } })
  async metrics(): Promise<Answer> {
    return new Answer(200, await this.service.metrics.metrics(), { 'content-type': this.service.metrics.contentType });
  }

  @Get('/openapi.json')
  @Allow('public')
  @Doc({ summary: 'This description', answers: { 200: z.looseObject({ openapi: z.string() }).describe('OpenAPI 3.1') } })
  openapi(): object {
    return this.document;
  }
}

class AnswerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      map((value: unknown) => {
        if (!(value instanceof Answer)) return value;
        const reply = context.switchToHttp().getResponse<FastifyReply>();
        void reply.status(value.status).headers(value.headers);
        return value.body;
      }),
    );
  }
}

const startHttp = async (
  service: ServiceContext & { app?: NestFastifyApplication },
  definition: ServiceDefinition,
  controllers: Type[],
  parts: Part[],
) => {
  const health: Health = { ready: () => [{ ok: false, reason: 'starting' }] };
  const document = openApi(`Chrysalis ${definition.context}`, controllers);
  class ServiceModule {}
  Module({
    controllers,
    providers: [
      { provide: SERVICE, useValue: service },
      { provide: Commands, useValue: new Commands(service) },
      { provide: HEALTH, useValue: health },
      { provide: OPENAPI, useValue: document },
      { provide: RELAY_ROUTE, useValue: routeOf(service, definition) },
      ...(definition.providers ?? []),
    ],
  })(ServiceModule);
  const adapter = new FastifyAdapter({
    bodyLimit: 1_048_576,
    requestTimeout: REQUEST_MS,
    // Node takes the larger of the two for the whole request, whichever it is called.
    http: { headersTimeout: REQUEST_MS, connectionsCheckingInterval: 1_000 },
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 255 },
    ...unroutable,
  });
  const app = await NestFactory.create<NestFastifyApplication>(ServiceModule, adapter, { logger: false, abortOnError: false });
  service.app = app;
  const strategy = new EventBusStrategy(service);
  app.connectMicroservice({ strategy }); // what is wrong with a handler is thrown here, before anything is served or read
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', guard(guardedRoutes(controllers), service.config.tokenKey));
  app.useGlobalGuards(new BoundsGuard(), new QueryGuard());
  app.useGlobalFilters(new ProblemFilter(service.log));
  app.useGlobalInterceptors(new AnswerInterceptor(), ...(checksAnswers() ? [new CheckedAnswers()] : []));
  await app.listen(service.config.port, service.config.listen);
  parts.push({ stop: () => app.close() });
  return { app, health, strategy };
};

const isContext = (name: string): name is Context => (contexts as readonly string[]).includes(name);

/** Where an event of this service goes, in its newest version. */
const routeOf =
  ({ store }: ServiceContext, { context, route }: ServiceDefinition): RelayRoute =>
  (raw) => {
    const stored = store.upcast(raw);
    const event = toCloudEvent(stored, { context });
    return [{ topic: eventsTopic(context as Context), event }, ...(route?.(stored, event) ?? [])];
  };

/** The topics and the relay, and a place among the parts for what reads: it starts last and stops first. */
const startMessaging = async (
  service: ServiceContext,
  definition: ServiceDefinition,
  parts: Part[],
  strategy: EventBusStrategy,
): Promise<void> => {
  const { bus, store, schema } = service;
  const { context } = definition;
  const own = isContext(context) ? [eventsTopic(context), deadTopic(context), tasksTopic(context)] : [];
  await bus.ensureTopics([...new Set([...strategy.topics, ...own])].map((name) => ({ name, partitions: 6 })));
  if (isContext(context)) {
    parts.push(await startRelay({ store, schema, bus, route: routeOf(service, definition), mode: 'auto' }));
  }
  parts.push({ stop: () => strategy.close(), health: () => strategy.health() });
};
