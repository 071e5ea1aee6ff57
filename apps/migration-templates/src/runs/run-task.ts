import { migrationTemplatesTasks as tasks, TaskDispatch, type Cause, type InputOf } from '@chrysalis/contracts';
import { isFound } from '@chrysalis/migration-templates-core';
import {
  done,
  Executor,
  failed,
  failpoint,
  later,
  OnTask,
  type MessageContext,
  type ResultOf,
  type TaskContext,
} from '@chrysalis/service-kit';
import { noteRun, runOf, writeRun, type Run } from '../sql/runs.ts';
import { step } from './step.ts';

@Executor()
export class RunTask {
  /**
   * One run for a task of a workflow, whichever attempt: a later one takes over what the earlier one began, and what it did is told again.
   * Where the VMs are not named an attempt after the end goes for what is there now: so a drain that was stopped is gone on with.
   */
  @OnTask(tasks.run)
  async run(input: InputOf<typeof tasks.run>, ctx: TaskContext): ResultOf<typeof tasks.run> {
    const { dispatch, tx, store } = ctx;
    const fault = faultOf(input);
    if (fault) return failed(fault);
    const fresh = newRun(input, dispatch, ctx);
    const known = await runOf(tx, store.schema, fresh.runId);
    const run = await next(known, fresh, ctx);
    await writeRun(tx, store.schema, run);
    await failpoint('migration-run:written', { run: run.runId });
    if (!run.outcome) return later;
    return run.outcome.ok ? done(run.outcome.output as never) : run.outcome;
  }
}

const next = (known: Run | undefined, fresh: Run, ctx: MessageContext): Promise<Run> | Run => {
  if (!known) return step(fresh, ctx);
  const { dispatch } = fresh;
  if (!known.outcome) return step({ ...known, dispatch }, ctx);
  if (!isFound(known.input) || dispatch.attempt <= known.dispatch.attempt) return { ...known, dispatch };
  const gone = Object.entries(known.results).filter(([, r]) => r.state === 'succeeded');
  return step({ ...fresh, results: Object.fromEntries(gone) }, ctx);
};

const newRun = (input: Run['input'], dispatch: TaskDispatch, ctx: MessageContext): Run => ({
  runId: `${dispatch.workflowId}/${dispatch.task}`,
  tenant: dispatch.tenant,
  input,
  dispatch,
  startedAt: ctx.now,
  correlationId: ctx.meta.correlationId,
  migrationId: null,
  results: {},
  settling: {},
  stop: null,
  outcome: null,
});

const faultOf = ({ vmIds, hostId, ofType }: Run['input']): Cause | undefined =>
  [vmIds, hostId, ofType].filter((x) => x !== undefined).length === 1
    ? undefined
    : { code: 'executor.input_invalid', message: 'exactly one of vmIds, hostId and ofType says whom it is about', retriable: false };

/** The workflow gave it out. A wish to cancel comes by the same way, behind this: so it finds the run also where the task is not here yet. */
export const runGivenOut = async (data: unknown, ctx: MessageContext): Promise<void> => {
  const dispatch = TaskDispatch.parse(data);
  const input = tasks.run.input.safeParse(dispatch.input);
  if (input.success && !faultOf(input.data)) await noteRun(ctx.tx, ctx.store.schema, newRun(input.data, dispatch, ctx));
};
