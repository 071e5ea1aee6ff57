import type { EventStore } from '@chrysalis/event-store';
import { Catch, type ExceptionFilter } from '@nestjs/common';
import { BaseRpcContext, Server, type CustomTransportStrategy } from '@nestjs/microservices';
import type pg from 'pg';
import { isObservable, lastValueFrom, throwError, type Observable } from 'rxjs';
import type { CloudEvent, EventBus, Health } from './bus.ts';
import { consume, type Consumption } from './consume.ts';

export type EventBusServerOptions = {
  readonly bus: EventBus;
  readonly store: EventStore;
  readonly consumer: string;
  readonly group: string;
  readonly topics: readonly string[];
  /**
   * Types on these topics that this service leaves alone, exactly or by prefix with a closing `*`. An event that has neither a handler
   * nor a line here is parked: Nest's own transports acknowledge it, and a handler that was forgotten or misspelt is never missed.
   */
  readonly ignore?: readonly string[];
  readonly attempts?: number;
  readonly maxBatch?: number;
};

/** The second argument of a handler (`@Ctx()`): what it writes through `tx` commits together with the event's inbox row. */
export class EventContext extends BaseRpcContext<[CloudEvent, pg.PoolClient]> {
  get event(): CloudEvent {
    return this.getArgByIndex(0) as CloudEvent;
  }

  get tx(): pg.PoolClient {
    return this.getArgByIndex(1) as pg.PoolClient;
  }
}

/**
 * `app.useGlobalFilters(new PassFailures())`: Nest turns what a handler throws into "Internal server error"; this lets it through, so
 * that the reason is kept with a parked event, and a lost connection is told from a poisonous event.
 */
@Catch()
export class PassFailures implements ExceptionFilter {
  catch(failure: unknown): Observable<never> {
    return throwError(() => failure);
  }
}

/**
 * Nest over the event bus, either adapter: handlers are `@EventPattern('<CloudEvents type>')` methods that get the event as payload. At
 * least once with an inbox, in order per key, batches, parking and redrive: all as in consume.ts. There is no request and reply. To be
 * used with PassFailures.
 */
export class EventBusServer extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('chrysalis.event-bus');
  /** A handler's failure reaches consume(), which tries again and parks. */
  override readonly propagatesEventHandlerErrors = true;
  #consumption: Consumption | undefined;

  constructor(private readonly options: EventBusServerOptions) {
    super();
  }

  async listen(callback: (error?: unknown) => void): Promise<void> {
    try {
      this.#refuseRequests();
      this.#consumption = await consume({ ...this.options, handle: (event, tx) => this.#dispatch(event, tx) });
      callback();
    } catch (error) {
      callback(error);
    }
  }

  async close(): Promise<void> {
    await this.#consumption?.stop();
    this.#consumption = undefined;
  }

  health(): Health {
    return this.#consumption?.health() ?? { ok: false, reason: 'not listening' };
  }

  on(): never {
    throw new Error('the event bus has no events of its own: see health()');
  }

  unwrap<T>(): T {
    return this.#consumption as T;
  }

  #refuseRequests(): void {
    for (const [pattern, handler] of this.messageHandlers)
      if (!handler.isEventHandler) throw new Error(`@MessagePattern(${pattern}): the event bus answers no requests, use @EventPattern`);
  }

  async #dispatch(event: CloudEvent, tx: pg.PoolClient): Promise<void> {
    const first = this.getHandlerByPattern(event.type);
    if (!first) {
      if (this.#ignored(event.type)) return;
      throw new Error(`no handler for ${event.type} in ${this.options.consumer}`);
    }
    const context = new EventContext([event, tx]);
    // Several methods may have the same pattern: Nest chains them.
    for (let handler: typeof first | undefined = first; handler; handler = handler.next as typeof first | undefined) {
      const result: unknown = await handler(event, context);
      if (isObservable(result)) await lastValueFrom(result, { defaultValue: undefined });
    }
  }

  #ignored(type: string): boolean {
    return (this.options.ignore ?? []).some((line) => (line.endsWith('*') ? type.startsWith(line.slice(0, -1)) : type === line));
  }
}
