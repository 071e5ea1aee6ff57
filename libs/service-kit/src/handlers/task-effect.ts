import { causeOf, faultText, reportOf, taskReported, TaskDispatch, type Outcome, type TaskContract } from '@chrysalis/contracts';
import { isContention, type Append } from '@chrysalis/event-store';
import type { CloudEvent, ConsumeOptions } from '@chrysalis/messaging';
import type pg from 'pg';
import { messageContext, metaOfEvent, type ServiceContext } from '../context.ts';
import { failpoint, failpointsSet } from '../runtime/failpoint.ts';
import { allEnded } from './all-ended.ts';
import type { TaskContext } from './handlers.ts';
import { failed, reportStream, type Later } from './task-results.ts';

export type TaskHandler = {
  readonly contract: TaskContract;
  /** See handlers.ts; not unless told. */
  readonly abreast?: boolean;
  readonly handle: (input: unknown, context: TaskContext) => Promise<Outcome | Later>;
};

type Effects = Required<Pick<ConsumeOptions, 'handle' | 'handleAll'>>;

/**
 * One task: the handler's effect and its report commit together; a handler that throws has its effect rolled back and is reported as failed.
 * Of tasks that are one transaction all reports are appended at once, at its end. Those that say so (`abreast`) go without a savepoint each:
 * where one does not succeed none has happened, and they go one by one.
 */
export const taskEffects = (service: ServiceContext, handlers: ReadonlyMap<string, TaskHandler>): Effects => ({
  handle: async (event, tx) => {
    const reports = await taskEffect(service, handlers, event, tx);
    if (reports.length > 0) await service.store.append(reports, tx);
  },
  handleAll: async (events, tx) => {
    const abreast = !failpointsSet() && events.every((event) => handlers.get(kindOf(event))?.abreast);
    const all = abreast ? await new Together(service, handlers, tx).execute(events) : await oneByOne(service, handlers, events, tx);
    if (all.length > 0) await service.store.append(byStream(all), tx);
  },
});

const kindOf = ({ data }: CloudEvent): string => String((data as Partial<TaskDispatch> | null)?.kind);

const oneByOne = async (
  service: ServiceContext,
  handlers: ReadonlyMap<string, TaskHandler>,
  events: readonly CloudEvent[],
  tx: pg.PoolClient,
): Promise<Append[]> => {
  const reports: Append[] = [];
  for (const event of events) reports.push(...(await taskEffect(service, handlers, event, tx)));
  return reports;
};

class Together {
  readonly #kept = new Map<symbol, unknown>();

  constructor(
    private readonly service: ServiceContext,
    private readonly handlers: ReadonlyMap<string, TaskHandler>,
    private readonly tx: pg.PoolClient,
  ) {}

  async execute(events: readonly CloudEvent[]): Promise<Append[]> {
    return (await allEnded([...Map.groupBy(events, (e) => e.partitionkey).values()].map((list) => this.#inOrder(list)))).flat();
  }

  async #inOrder(events: readonly CloudEvent[]): Promise<Append[]> {
    const reports: Append[] = [];
    for (const event of events) reports.push(...(await this.#one(event)));
    return reports;
  }

  async #one(event: CloudEvent): Promise<Append[]> {
    const context = contextOf(this.service, event, this.tx, this.#kept);
    const startedAt = this.service.clock();
    const outcome = await perform(this.handlers.get(context.dispatch.kind), context.dispatch, context);
    if (outcome.ok === false) throw new Error(`${context.dispatch.kind} failed: ${outcome.cause.code}`);
    return outcome.ok === undefined ? [] : [reportIn(this.service, context, outcome, startedAt)];
  }
}

/** Two tasks of one workflow report to one stream. */
const byStream = (reports: readonly Append[]): Append[] =>
  [...Map.groupBy(reports, (r) => r.stream)].map(([stream, list]) => ({ stream, expected: 'any', events: list.flatMap((r) => r.events) }));

/** Answers its report, unless that comes later. */
const taskEffect = async (
  service: ServiceContext,
  handlers: ReadonlyMap<string, TaskHandler>,
  event: CloudEvent,
  tx: pg.PoolClient,
): Promise<Append[]> => {
  const context = contextOf(service, event, tx);
  const { dispatch } = context;
  const startedAt = service.clock();
  const saved = tx.query('savepoint task');
  if (tx.pipeline)
    saved.catch(() => undefined); // goes out with the first statement, which fails where this does
  else await saved;
  let outcome: Outcome | Later;
  try {
    await failpoint(`task:${dispatch.kind}:before`, { task: dispatch.task, action: dispatch.action });
    outcome = await perform(handlers.get(dispatch.kind), dispatch, context);
    await failpoint(`task:${dispatch.kind}:after`, { task: dispatch.task, action: dispatch.action });
  } catch (error) {
    if (isContention(error)) throw error; // the whole transaction again
    outcome = failed(causeOf(error, 'executor.fault'));
    service.log.warn({ err: error, kind: dispatch.kind, workflowId: dispatch.workflowId }, 'task failed');
  }
  if (outcome.ok === undefined) return [];
  if (!outcome.ok) await tx.query('rollback to savepoint task');
  return [reportIn(service, context, outcome, startedAt)];
};

const contextOf = (service: ServiceContext, event: CloudEvent, tx: pg.PoolClient, kept?: Map<symbol, unknown>): TaskContext => ({
  ...messageContext(service, tx, metaOfEvent(service, event)),
  dispatch: TaskDispatch.parse(event.data),
  ...(kept ? { kept } : {}),
});

const reportIn = (service: ServiceContext, { dispatch, meta }: TaskContext, outcome: Outcome, startedAt: string): Append => {
  const data = reportOf(dispatch, outcome, startedAt, service.clock());
  const reported = { id: service.newId(), type: taskReported(service.context).type, data, meta };
  return { stream: reportStream(dispatch), expected: 'any', events: [reported] };
};

const perform = async (handler: TaskHandler | undefined, dispatch: TaskDispatch, context: TaskContext): Promise<Outcome | Later> => {
  if (!handler) return failed({ code: 'executor.kind_unknown', message: `no executor here for ${dispatch.kind}`, retriable: false });
  const input = handler.contract.input.safeParse(dispatch.input);
  if (!input.success) return failed({ code: 'executor.input_invalid', message: faultText(input.error), retriable: false });
  return handler.handle(input.data, context);
};
