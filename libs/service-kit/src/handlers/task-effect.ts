import { causeOf, faultText, taskReported, TaskDispatch, type Outcome, type TaskContract } from '@chrysalis/contracts';
import { isContention } from '@chrysalis/event-store';
import type { CloudEvent } from '@chrysalis/messaging';
import type pg from 'pg';
import { messageContext, metaOfEvent, type ServiceContext } from '../context.ts';
import { failpoint } from '../runtime/failpoint.ts';
import type { TaskContext } from './handlers.ts';
import { failed, report, type Later } from './task-results.ts';

export type TaskHandler = {
  readonly contract: TaskContract;
  readonly handle: (input: unknown, context: TaskContext) => Promise<Outcome | Later>;
};

/** One task: the handler's effect and its report commit together; a handler that throws has its effect rolled back and is reported as failed. */
export const taskEffect = (service: ServiceContext, handlers: ReadonlyMap<string, TaskHandler>) => {
  const reported = taskReported(service.context);
  return async (event: CloudEvent, tx: pg.PoolClient): Promise<void> => {
    const dispatch = TaskDispatch.parse(event.data);
    const context = { ...messageContext(service, tx, metaOfEvent(service, event)), dispatch };
    const startedAt = service.clock();
    await tx.query('savepoint task');
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
    if (outcome.ok === undefined) return;
    if (!outcome.ok) await tx.query('rollback to savepoint task');
    await report(context, dispatch, outcome, { reported, startedAt, endedAt: service.clock() });
  };
};

const perform = async (handler: TaskHandler | undefined, dispatch: TaskDispatch, context: TaskContext): Promise<Outcome | Later> => {
  if (!handler) return failed({ code: 'executor.kind_unknown', message: `no executor here for ${dispatch.kind}`, retriable: false });
  const input = handler.contract.input.safeParse(dispatch.input);
  if (!input.success) return failed({ code: 'executor.input_invalid', message: faultText(input.error), retriable: false });
  return handler.handle(input.data, context);
};
