import { Server, type CustomTransportStrategy, type MessageHandler } from '@nestjs/microservices';
import {
  contextOf,
  contractOf,
  eventsTopic,
  faultText,
  tasksTopic,
  upcastings,
  type EventContract,
  type Outcome,
  type TaskGroup,
} from '@chrysalis/contracts';
import { consume, Pace, Poison, type CloudEvent, type ConsumeOptions, type Consumption, type Health } from '@chrysalis/messaging';
import { isObservable, lastValueFrom } from 'rxjs';
import type pg from 'pg';
import { announce } from './announce.ts';
import { messageContext, metaOfEvent, type ServiceContext } from '../context.ts';
import { failpoint } from '../runtime/failpoint.ts';
import { consumerOf, type ConsumerOptions, type EventContext, type HandlerExtras } from './handlers.ts';
import { allEnded } from './all-ended.ts';
import { taskEffects, type TaskHandler } from './task-effect.ts';
import type { Later } from './task-results.ts';

type EventHandler = { readonly contract: EventContract; readonly handle: (data: unknown, context: EventContext) => Promise<unknown> };
type Consumes = ConsumerOptions & { readonly on: Map<string, EventHandler> };

/**
 * Nest's transport over the event-bus port: the `@OnEvent` and `@OnTask` methods of the service's controllers. Nest tells all of them when
 * the strategy is connected, before anything is read; a pattern that nothing can send, or that is there twice, fails that and the start.
 * From then on each consumer is one subscription, with its inbox, retries and parking: see consume.ts.
 */
export class EventBusStrategy extends Server implements CustomTransportStrategy {
  /** What a handler throws is ours to deal with: Nest logs and swallows nothing. */
  override readonly propagatesEventHandlerErrors = true;
  readonly #consumers = new Map<string, Consumes>();
  readonly #tasks = new Map<string, TaskHandler>();
  #running: Consumption[] = [];

  constructor(private readonly service: ServiceContext) {
    super();
  }

  override addHandler(pattern: string, callback: MessageHandler, isEventHandler = false, extras: Partial<HandlerExtras> = {}): void {
    const { owner, method } = extras;
    if (!owner) throw new Error(`${pattern} is a pattern of Nest's own: use @OnEvent or @OnTask, whose contract says what the data is`);
    const place = `${owner.constructor.name}.${method}`;
    const taker =
      'task' in extras
        ? this.#executes({ contract: extras.task!, abreast: extras.abreast ?? false }, callback, place)
        : this.#takes(pattern, callback, owner, place);
    super.addHandler(`${taker} ${pattern}`, callback, isEventHandler, extras);
  }

  #executes({ contract, abreast }: Required<Omit<TaskHandler, 'handle'>>, callback: MessageHandler, place: string): string {
    const { context } = this.service;
    const { kind, group } = contract;
    if (group !== context) throw new Error(`${place} executes ${kind}, and tasks of ${group} never come to ${context}`);
    if (this.#tasks.has(kind)) throw new Error(`${place} is the second to execute ${kind}`);
    this.#tasks.set(kind, { contract, abreast, handle: async (input, task) => (await valueOf(callback(input, task))) as Outcome | Later });
    return 'tasks';
  }

  #takes(type: string, callback: MessageHandler, owner: object, place: string): string {
    const options = consumerOf(owner);
    if (!options) throw new Error(`${place} takes ${type}, and ${owner.constructor.name} is no @Consumer`);
    const contract = contractOf.get(type);
    if (!contract) throw new Error(`${place} takes ${type}, and no contract says that there is such an event`);
    const consumer = this.#consumers.get(options.name) ?? { ...options, on: new Map<string, EventHandler>() };
    this.#consumers.set(options.name, consumer);
    if (consumer.on.has(type)) throw new Error(`${place} is the second of the consumer ${options.name} to take ${type}`);
    consumer.on.set(type, { contract, handle: (data, event) => valueOf(callback(data, event)) });
    return options.name;
  }

  /** Topics that have to be there before anyone listens. */
  get topics(): readonly string[] {
    return [...this.#consumers.values()].flatMap(topicsOf);
  }

  listen(callback: (error?: unknown) => void): void {
    this.#start().then(() => callback(), callback);
  }

  async #start(): Promise<void> {
    const { bus, store, context } = this.service;
    const run = async (
      name: string,
      topics: readonly string[],
      more: Pick<ConsumeOptions, 'handle' | 'handleAll' | 'wants' | 'skips' | 'view' | 'paceMs'>,
    ) => {
      const consumer = `${context}.${name}`;
      this.#running.push(await consume({ bus, store, consumer, group: consumer, topics, ...more }));
    };
    if (this.#tasks.size > 0) {
      const group = context as TaskGroup;
      await announce(this.service, group, [...this.#tasks.keys()]);
      await run('tasks', [tasksTopic(group)], { ...taskEffects(this.service, this.#tasks), paceMs: Pace.tasks });
    }
    for (const consumer of this.#consumers.values())
      await run(consumer.name, topicsOf(consumer), {
        wants: (event) => consumer.on.has(event.type) && (consumer.wants?.(event) ?? true),
        // One of an older version may become one that it takes.
        skips: (type) => isNewest(type) && !consumer.on.has(type),
        ...(consumer.view ? { view: true, paceMs: Pace.view } : {}),
        ...eventEffects(this.service, consumer),
      });
  }

  /** Nest closes what the service has closed before, in its order. */
  async close(): Promise<void> {
    for (const consumption of this.#running.splice(0).reverse()) await consumption.stop();
  }

  health(): Health {
    return this.#running.map((c) => c.health()).find((h) => !h.ok) ?? { ok: true };
  }

  on(): never {
    throw new Error('the bus has no events of its own to listen to');
  }

  unwrap<T>(): T {
    return this.service.bus as T;
  }
}

/** What a bus carries of this type is handed out as it is. */
const isNewest = (type: string): boolean => contractOf.has(type) && !upcastings.some(({ of, version }) => type === `${of}.v${version}`);

const topicsOf = ({ topics, on }: Consumes): readonly string[] =>
  topics ?? [...new Set([...on.keys()].map((type) => eventsTopic(contextOf.get(type)!)))];

const eventEffects = (service: ServiceContext, { name, on, abreast, view }: Consumes): Pick<ConsumeOptions, 'handle' | 'handleAll'> => {
  const handle = async (event: CloudEvent, tx: pg.PoolClient): Promise<void> => {
    const handler = on.get(event.type);
    if (!handler) return; // parked by a release that took it
    await failpoint(`consumer:${name}:before`, { type: event.type });
    const data = handler.contract.schema.safeParse(event.data);
    if (!data.success) throw new Poison(faultText(data.error));
    await handler.handle(data.data, { ...messageContext(service, tx, metaOfEvent(service, event)), event });
  };
  return { handle, ...(abreast || view ? { handleAll: besideEachOther(handle) } : {}) };
};

/** Those of one stream in their order. Resolves or rejects when all have come to their end, as none may go on after the transaction's. */
const besideEachOther =
  (handle: ConsumeOptions['handle']): Required<ConsumeOptions>['handleAll'] =>
  async (events, tx) => {
    const inOrder = async (list: readonly CloudEvent[]): Promise<void> => {
      for (const event of list) await handle(event, tx);
    };
    await allEnded([...Map.groupBy(events, (e) => e.partitionkey).values()].map(inOrder));
  };

/** A handler's promise as it is; an interceptor on it would make a stream of that. */
const valueOf = async (result: Promise<unknown>): Promise<unknown> => {
  const value = await result;
  return isObservable(value) ? lastValueFrom(value, { defaultValue: undefined }) : value;
};
