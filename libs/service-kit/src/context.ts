import { randomBytes } from 'node:crypto';
import type { Contended, EventMeta, EventStore, Known, NewEvent, VersionMismatch } from '@chrysalis/event-store';
import { decideAndAppend } from '@chrysalis/event-store';
import type { Refusal } from '@chrysalis/contracts';
import type { Decider, Decision } from '@chrysalis/kernel';
import type { CloudEvent, EventBus } from '@chrysalis/messaging';
import type pg from 'pg';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { v7 as uuidv7 } from 'uuid';
import type { ServiceConfig } from './runtime/config.ts';

export type ServiceContext = {
  readonly context: string;
  readonly schema: string;
  readonly pool: pg.Pool;
  readonly store: EventStore;
  readonly bus: EventBus;
  readonly log: Logger;
  readonly config: ServiceConfig;
  readonly metrics: Registry;
  readonly clock: () => string;
  readonly newId: (prefix?: string) => string;
};
/** Injection token of the ServiceContext. */
export const SERVICE = Symbol('chrysalis.service');

export const clock = (): string => new Date().toISOString();
export const newId = (prefix?: string): string => (prefix ? `${prefix}-${uuidv7()}` : uuidv7());
const newTraceparent = (): string => `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;

/** What a handler works with: one transaction, and meta data ready to append with. */
export type MessageContext = {
  readonly tx: pg.PoolClient;
  readonly store: EventStore;
  readonly log: Logger;
  readonly now: string;
  readonly newId: (prefix?: string) => string;
  readonly meta: EventMeta;
  /** Load (after what is `known`), fold, decide, append within `tx`. Nothing is written when the decision is a refusal. */
  readonly decide: <C, S, E extends { type: string; data: unknown }, R extends Refusal>(
    stream: string,
    decider: Decider<C, S, E, Decision<E, R>>,
    command: C,
    options?: { ifVersion?: number | undefined; known?: Known<S> | undefined },
  ) => Promise<Decided<S, E, R>>;
  readonly append: (
    stream: string,
    expected: 'noStream' | 'streamExists' | 'any' | number,
    ...events: { type: string; data: unknown }[]
  ) => ReturnType<EventStore['append']>;
};
export type Decided<S, E, R extends Refusal> =
  | { readonly ok: true; readonly events: readonly E[]; readonly version: number; readonly state: S }
  | { readonly ok: false; readonly rejection: R | StreamRefusal };
/** Of the stream, whatever was to be decided on it. */
export type StreamRefusal = Contended | VersionMismatch;

export const messageContext = (
  service: Pick<ServiceContext, 'store' | 'log' | 'newId'>,
  tx: pg.PoolClient,
  meta: EventMeta,
): MessageContext => {
  const toEvents = (events: readonly { type: string; data: unknown }[]): NewEvent[] =>
    events.map((e) => ({ id: newId(), type: e.type, data: e.data, meta }));
  return {
    tx,
    store: service.store,
    log: service.log,
    now: meta.at,
    newId: service.newId,
    meta,
    decide: (stream, decider, command, options) =>
      decideAndAppend({
        store: service.store,
        stream,
        decider,
        command,
        toEvents,
        tx,
        ...(options?.ifVersion === undefined ? {} : { ifVersion: options.ifVersion }),
        ...(options?.known ? { known: options.known } : {}),
      }),
    append: (stream, expected, ...events) => service.store.append({ stream, expected, events: toEvents(events) }, tx),
  };
};

/** The same, for what belongs to another tenant: of the fleet's own work in each tenant's part. */
export const ofTenant = (context: MessageContext, tenant: string): MessageContext =>
  messageContext(context, context.tx, { ...context.meta, tenant });

export const metaOfEvent = (service: ServiceContext, event: CloudEvent): EventMeta => ({
  at: service.clock(),
  correlationId: event.correlationid,
  causationId: event.id,
  actor: `service:${service.context}`,
  tenant: event.tenant,
  ...(event.traceparent ? { traceparent: event.traceparent } : {}),
});

export const metaOfRequest = (
  service: ServiceContext,
  request: { headers: Record<string, string | string[] | undefined>; causationId?: string },
  caller: { sub: string; tenant: string },
): EventMeta => {
  const header = (name: string): string | undefined => [request.headers[name]].flat()[0];
  return {
    at: service.clock(),
    correlationId: header('x-correlation-id')?.slice(0, 128) ?? newId(),
    ...(request.causationId === undefined ? {} : { causationId: request.causationId }),
    actor: `user:${caller.sub}`,
    tenant: caller.tenant,
    traceparent: /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(header('traceparent') ?? '') ? header('traceparent')! : newTraceparent(),
  };
};
