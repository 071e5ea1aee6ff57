import {
  type Cause,
  type EventContract,
  type InputOf,
  type Outcome,
  type OutputOf,
  type Refusal,
  type TaskContract,
  TaskDispatch,
  taskReported,
} from '@chrysalis/contracts';
import { isContention } from '@chrysalis/event-store';
import type { CloudEvent } from '@chrysalis/messaging';
import type pg from 'pg';
import type { z } from 'zod';
import { messageContext, metaOfEvent, type MessageContext, type ServiceContext } from './context.ts';
import { failpoint } from './failpoint.ts';
import { wordsOf } from './words.ts';

export type EventContext = MessageContext & { readonly event: CloudEvent };
export type EventHandler = {
  readonly matches: (type: string) => boolean;
  readonly handle: (event: CloudEvent, context: EventContext) => Promise<void>;
};

/** Handles one event type; data that does not fit its schema is poison and gets parked. */
export const onEvent = <C extends EventContract>(
  contract: C,
  handle: (data: z.infer<C['schema']>, context: EventContext) => Promise<void>,
): EventHandler => ({
  matches: (type) => type === contract.type,
  handle: (event, context) => handle(contract.schema.parse(event.data) as z.infer<C['schema']>, context),
});
export const onMatching = (
  matches: (type: string) => boolean,
  handle: (event: CloudEvent, context: EventContext) => Promise<void>,
): EventHandler => ({ matches, handle });

export type Consumer = { readonly name: string; readonly topics: readonly string[]; readonly on: readonly EventHandler[] };

export const eventEffect =
  (service: ServiceContext, consumer: Consumer) =>
  async (event: CloudEvent, tx: pg.PoolClient): Promise<void> => {
    for (const handler of consumer.on) {
      if (!handler.matches(event.type)) continue;
      await failpoint(`consumer:${consumer.name}:before`, { type: event.type });
      await handler.handle(event, { ...messageContext(service, tx, metaOfEvent(service, event)), event });
    }
  };

export type TaskContext = MessageContext & { readonly dispatch: TaskDispatch };
export type TaskHandler = {
  readonly contract: TaskContract;
  readonly handle: (input: never, context: TaskContext) => Promise<Outcome | Later>;
};

export const handleTask = <C extends TaskContract>(
  contract: C,
  handle: (input: InputOf<C>, context: TaskContext) => Promise<TaskResult<OutputOf<C>> | Later>,
): TaskHandler => ({ contract, handle: handle as TaskHandler['handle'] });
export type TaskResult<O> = { readonly ok: true; readonly output: O } | { readonly ok: false; readonly cause: Cause };
export const done = <O extends Record<string, unknown>>(output: O): { readonly ok: true; readonly output: O } => ({ ok: true, output });
export const failed = (cause: Cause): { readonly ok: false; readonly cause: Cause } => ({ ok: false, cause });
/** The task goes on, and its report comes by `report` when it has ended. Whoever answers so has written down, in this transaction, who owes it. */
export const later = { ok: undefined } as const;
export type Later = typeof later;

/** The report of an execution that was answered with `later`, in the transaction that knows its end. Said twice, the second is refused by the workflow. */
export const report = async (
  context: MessageContext,
  dispatch: TaskDispatch,
  outcome: Outcome,
  { reported, startedAt }: { reported: EventContract; startedAt: string },
): Promise<void> => {
  const { workflowId, task, action, attempt, token, executor } = dispatch;
  await context.append(`task-${workflowId}`, 'any', {
    type: reported.type,
    data: { workflowId, task, action, attempt, token, executor, outcome, startedAt, endedAt: context.now },
  });
};

/** A decider's refusal as a task's failure. Refusals are final: trying the same again changes nothing, unless said otherwise. */
export const refused = (rejection: Refusal, retriable = false): { readonly ok: false; readonly cause: Cause } => {
  const { code, message: _, ...detail } = rejection;
  return failed({ code, message: wordsOf(rejection), retriable, detail });
};

/** One task: the handler's effect and its report commit together; a handler that throws has its effect rolled back and is reported as failed. */
export const taskEffect = (service: ServiceContext, handlers: readonly TaskHandler[]) => {
  const byKind = new Map(handlers.map((h) => [h.contract.kind, h]));
  const reported = taskReported(service.context);
  return async (event: CloudEvent, tx: pg.PoolClient): Promise<void> => {
    const dispatch = TaskDispatch.parse(event.data);
    const context = { ...messageContext(service, tx, metaOfEvent(service, event)), dispatch };
    const startedAt = service.clock();
    await tx.query('savepoint task');
    let outcome: Outcome | Later;
    try {
      await failpoint(`task:${dispatch.kind}:before`, { task: dispatch.task, action: dispatch.action });
      outcome = await perform(byKind.get(dispatch.kind), dispatch, context);
      await failpoint(`task:${dispatch.kind}:after`, { task: dispatch.task, action: dispatch.action });
    } catch (error) {
      if (isContention(error)) throw error; // the whole transaction again
      outcome = failed(causeOf(error));
      service.log.warn({ err: error, kind: dispatch.kind, workflowId: dispatch.workflowId }, 'task failed');
    }
    if (outcome.ok === undefined) return;
    if (!outcome.ok) await tx.query('rollback to savepoint task');
    const { workflowId, task, action, attempt, token, executor } = dispatch;
    await context.append(`task-${workflowId}`, 'any', {
      type: reported.type,
      data: { workflowId, task, action, attempt, token, executor, outcome, startedAt, endedAt: service.clock() },
    });
  };
};

const perform = async (handler: TaskHandler | undefined, dispatch: TaskDispatch, context: TaskContext): Promise<Outcome | Later> => {
  if (!handler) return failed({ code: 'executor.kind_unknown', message: `no executor here for ${dispatch.kind}`, retriable: false });
  const input = handler.contract.input.safeParse(dispatch.input);
  if (!input.success)
    return failed({
      code: 'executor.input_invalid',
      message: input.error.issues
        .map((i) => `${i.path.join('.')}: ${i.message}`)
        .join('; ')
        .slice(0, 2000),
      retriable: false,
    });
  return handler.handle(input.data as never, context);
};

const causeOf = (error: unknown): Cause => {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return {
    code: typeof code === 'string' && code.includes('.') ? code : 'executor.fault',
    message: String(message ?? error).slice(0, 2000),
    retriable: true,
  };
};
