import { Controller, SetMetadata, UseFilters, type ExceptionFilter } from '@nestjs/common';
import { EventPattern } from '@nestjs/microservices';
import { PARAM_ARGS_METADATA } from '@nestjs/microservices/constants.js';
import type { DataOf, EventContract, InputOf, OutputOf, TaskContract, TaskDispatch } from '@chrysalis/contracts';
import type { CloudEvent } from '@chrysalis/messaging';
import type { MessageContext } from '../context.ts';
import type { Later, TaskResult } from './task-results.ts';

export type EventContext = MessageContext & { readonly event: CloudEvent };
export type TaskContext = MessageContext & {
  readonly dispatch: TaskDispatch;
  /**
   * What tasks of one transaction keep for each other, under a key of theirs; not there for one that goes alone. None of them is rolled back
   * without the others.
   */
  readonly kept?: Map<symbol, unknown>;
};

type EventMethod<C extends EventContract> = (data: DataOf<C>, context: EventContext) => Promise<void>;
/** What an `@OnTask` method answers. */
export type ResultOf<C extends TaskContract> = Promise<TaskResult<OutputOf<C>> | Later>;
type TaskMethod<C extends TaskContract> = (input: InputOf<C>, context: TaskContext) => ResultOf<C>;
type MethodDecoratorOf<Method> = <M extends Method>(target: object, key: string, descriptor: TypedPropertyDescriptor<M>) => void;

/** What the strategy is told of a handler beside its pattern: what its data must be, and whose method it is. */
export type HandlerExtras = { readonly owner: object; readonly method: string } & (
  { readonly events: readonly EventContract[] } | ({ readonly task: TaskContract } & TaskOptions)
);

/**
 * Handles events of these contracts, as a method of a `@Consumer`: the data's type is the contract's, and data that does not fit its
 * schema is parked before the method sees it. What it throws decides between another try and parking: see consume.ts.
 */
export const OnEvent =
  <const Cs extends readonly EventContract[]>(...contracts: Cs): MethodDecoratorOf<EventMethod<Cs[number]>> =>
  (target, key, descriptor) => {
    const types = contracts.map((c) => c.type);
    handles(types, { owner: target, method: key, events: contracts }, descriptor);
  };

/** Executes tasks of this contract: the method's effect and its report are one transaction. Input that does not fit fails the task before the method sees it. */
export const OnTask =
  <C extends TaskContract>(contract: C, o: TaskOptions = {}): MethodDecoratorOf<TaskMethod<C>> =>
  (target, key, descriptor) =>
    handles([contract.kind], { owner: target, method: key, task: contract, ...o }, descriptor);

export type TaskOptions = {
  /**
   * Tasks of one transaction are executed beside each other: what one does touches no row that another touches, or finds out that it does
   * when it appends. Where one fails, all of them go one by one.
   */
  readonly abreast?: boolean;
};

/** Nest would make "Internal server error" of what a handler throws; here it goes on as it is, to whoever retries and parks. */
const unchanged: ExceptionFilter = {
  catch: (error: unknown) => {
    throw error;
  },
};

const handles = (patterns: string[], extras: HandlerExtras, descriptor: PropertyDescriptor): void => {
  const { owner, method } = extras;
  EventPattern(patterns, extras)(owner, method, descriptor);
  UseFilters(unchanged)(owner, method, descriptor);
  // The arguments as the strategy gives them. With `@Payload` and `@Ctx` Nest awaits a promise for each, on every call: 2 µs of CPU instead of 1.
  Reflect.defineMetadata(PARAM_ARGS_METADATA, {}, owner.constructor, method);
};

export type ConsumerOptions = {
  /** Of the inbox and of the group, within the service: one effect per consumer and event, for ever. */
  readonly name: string;
  /** Those of its events' contexts unless told. */
  readonly topics?: readonly string[];
  /**
   * Which events of its types are its business; all are unless told. Of the rest nothing is written, nor asked of the database. Pure, of the
   * event alone, and before its data is checked: where that is in doubt it says yes.
   */
  readonly wants?: (event: CloudEvent) => boolean;
  /**
   * Events of different streams are handled beside each other, over one connection, where they are one transaction: what is done for one
   * touches no row that is touched for another, or does so in single statements.
   */
  readonly abreast?: boolean;
  /** It is `abreast`, and keeps rows of this service of what others tell, and does nothing else: see consume.ts of messaging. */
  readonly view?: boolean;
};
const CONSUMER = 'chrysalis:consumer';

/** A class whose `@OnEvent` methods take events in order, each once. Another name is another consumer, which reads from the beginning. */
export const Consumer = (name: string, more: Omit<ConsumerOptions, 'name'> = {}): ClassDecorator => {
  const options: ConsumerOptions = { name, ...more };
  return (target) => {
    Controller()(target);
    SetMetadata(CONSUMER, options)(target);
  };
};
export const consumerOf = (owner: object): ConsumerOptions | undefined =>
  Reflect.getMetadata(CONSUMER, owner.constructor) as ConsumerOptions | undefined;

/** A class whose `@OnTask` methods execute this service's tasks. */
export const Executor = (): ClassDecorator => Controller();
