import type { Server } from 'node:http';
import { Module, type CallHandler, type ExecutionContext, type NestInterceptor, type Provider, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { contexts, deadTopic, eventsTopic, tasksTopic, type Context } from '@chrysalis/contracts';
import { afterLog, appRole, EventStore, migrate, type Migration, type StoredEvent, type Upcast } from '@chrysalis/event-store';
import { createBus, startRelay, toCloudEvent, type CloudEvent, type EventBus } from '@chrysalis/messaging';
import type { FastifyReply } from 'fastify';
import pg from 'pg';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { map, type Observable } from 'rxjs';
import { guard } from './access/auth.ts';
import { BoundsGuard } from './http/bounds.ts';
import { Answer, Commands } from './http/commands.ts';
import type { ServiceConfig } from './runtime/config.ts';
import { clock, newId, SERVICE, type ServiceContext } from './context.ts';
import { CheckedAnswers, checksAnswers } from './http/checked-answers.ts';
import { documentedRoutes, guardedRoutes } from './http/documentation.ts';
import { EventBusStrategy } from './handlers/event-bus-strategy.ts';
import { HEALTH, HealthController, OPENAPI, type Health } from './controllers/health.ts';
import { PreparingClient } from './runtime/prepared.ts';
import { createLog } from './runtime/log.ts';
import { openApi } from './http/openapi.ts';
import { DeadLettersController } from './controllers/dead-letters.ts';
import { ProblemFilter } from './http/problems.ts';
import { QueryGuard } from './http/query.ts';
import { RELAY_ROUTE, RelayAuditController, type RelayRoute } from './controllers/relay-audit.ts';
import { ANSWERS_KEPT, sweep } from './runtime/sweep.ts';
import { unroutable } from './http/unroutable.ts';
import { upcast, upcastingBus } from './handlers/upcast.ts';
import { commandsOf } from './messages/as-message.ts';
import { startCommands } from './messages/door.ts';

export type Routed = { readonly topic: string; readonly event: CloudEvent };
export type ServiceDefinition = {
  readonly context: Context | 'projector' | 'admin-api';
  readonly schema: string;
  /** Of its own schema, numbered from 1001: they come after those of the log. Run at start, each once. */
  readonly migrations?: readonly Migration[];
  readonly controllers?: readonly Type[];
  /** Classes whose methods take events and tasks: `@Consumer` and `@Executor`. Nest's controllers as well, so they have what is injected. */
  readonly handlers?: readonly Type[];
  /** How events of older versions are read; as the contracts say unless told. */
  readonly upcast?: Upcast;
  /** What it is made of, once its tables, database, bus and log are there. Nothing is served or read yet. */
  readonly parts?: (service: ServiceContext) => ServiceParts;
};
export type ServiceParts = {
  /** What controllers and handlers have injected. */
  readonly providers?: readonly Provider[];
  /** Topics beside the context's own `…events`. */
  readonly route?: (event: StoredEvent, cloudEvent: CloudEvent) => readonly Routed[];
  /** The topics of `route`: they are there before anything is sent, whoever reads them may come later. One that is not holds up all events. */
  readonly routesTo?: readonly string[];
  /** Timers, sockets, subscriptions of a service's own. Started in their order after the consumers are up, stopped in reverse. */
  readonly background?: readonly Background[];
};
/** A part, or a function that starts one and answers it, or its stop; it gets the server of the service's own port. */
export type Background = Part | ((server: Server) => Promise<Part | Part['stop']>);
/** Its health counts for readiness. */
export type Part = { start?(): Promise<void> | void; stop(): Promise<void>; health?(): { ok: boolean; reason?: string } };

export type RunningService = {
  readonly context: string;
  readonly url: string;
  readonly service: ServiceContext;
  /** Of HTTP. */
  readonly server: Server;
  stop(): Promise<void>;
};

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
  const commands = commandsOf(controllers);
  const parts: Part[] = [];
  const stop = async (): Promise<void> => {
    for (const part of parts.splice(0).reverse()) await part.stop();
  };
  try {
    const service = await openContext(config, definition, parts);
    const { providers = [], route, routesTo = [], background = [] } = definition.parts?.(service) ?? {};
    const relayRoute = routeOf(service, route);
    const { app, health, strategy } = await startHttp(
      service,
      [{ provide: RELAY_ROUTE, useValue: relayRoute }, ...providers],
      controllers,
      parts,
    );
    await startMessaging(service, { route: relayRoute, routesTo }, parts, strategy);
    await app.startAllMicroservices();
    if (commands.size > 0) parts.push(await startCommands(service, app, commands));
    parts.push({ stop: sweep(service, 'idempotency', () => service.store.forgetAnswers(ANSWERS_KEPT)) });
    const server = app.getHttpServer() as Server;
    for (const one of background) parts.push(await begun(one, server));
    health.ready = () => parts.flatMap((p) => p.health?.() ?? []);
    const url = (await app.getUrl()).replace('[::1]', '127.0.0.1');
    service.log.info({ url }, 'ready');
    return { context: definition.context, url, service, server, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

const begun = async (background: Background, server: Server): Promise<Part> => {
  if (typeof background !== 'function') {
    await background.start?.();
    return background;
  }
  const part = await background(server);
  return typeof part === 'function' ? { stop: part } : part;
};

const openContext = async (config: ServiceConfig, definition: ServiceDefinition, parts: Part[]): Promise<ServiceContext> => {
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
    Client: PreparingClient,
    pipeline: true, // what need not wait for each other goes out together
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
  };
};

/** So long a request may take to come in, headers and body; then it is `request.timeout`, and its memory is free. */
const REQUEST_MS = 15_000;

class AnswerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
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

const startHttp = async (service: ServiceContext, providers: readonly Provider[], controllers: Type[], parts: Part[]) => {
  const health: Health = { ready: () => [{ ok: false, reason: 'starting' }] };
  let document: object | undefined;
  class ServiceModule {}
  Module({
    controllers,
    providers: [
      { provide: SERVICE, useValue: service },
      { provide: Commands, useValue: new Commands(service) },
      { provide: HEALTH, useValue: health },
      { provide: OPENAPI, useValue: () => (document ??= openApi(`Chrysalis ${service.context}`, controllers)) },
      ...providers,
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
  ({ store, context }: ServiceContext, route: ServiceParts['route']): RelayRoute =>
  (raw) => {
    const stored = store.upcast(raw);
    const event = toCloudEvent(stored, { context });
    return [{ topic: eventsTopic(context as Context), event }, ...(route?.(stored, event) ?? [])];
  };

/** The topics and the relay, and a place among the parts for what reads: it starts last and stops first. */
const startMessaging = async (
  service: ServiceContext,
  { route, routesTo }: { readonly route: RelayRoute; readonly routesTo: readonly string[] },
  parts: Part[],
  strategy: EventBusStrategy,
): Promise<void> => {
  const { bus, store, schema, context } = service;
  const own = isContext(context) ? [eventsTopic(context), deadTopic(context), tasksTopic(context)] : [];
  await bus.ensureTopics([...new Set([...strategy.topics, ...own, ...routesTo])].map((name) => ({ name, partitions: 6 })));
  if (isContext(context)) {
    parts.push(await startRelay({ store, schema, bus, route, mode: 'auto' }));
  }
  parts.push({ stop: () => strategy.close(), health: () => strategy.health() });
};
