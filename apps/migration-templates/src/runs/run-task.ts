import { migrationTemplatesTasks as tasks } from '@chrysalis/contracts';
import { done, failpoint, handleTask, later } from '@chrysalis/service-kit';
import { runOf, writeRun, type Run } from '../sql/runs.ts';
import { advance } from './advance.ts';

/**
 * One run for a task of a workflow, whichever attempt: a later one takes over what the earlier one began, and what it did is told again.
 * The run is owed by its migration under way, whose end in `moves-consumer` takes it further or reports it.
 */
export const runTask = handleTask(tasks.run, async (input, ctx) => {
  const { dispatch, tx, store, now } = ctx;
  const runId = `${dispatch.workflowId}/${dispatch.task}`;
  const known = await runOf(tx, store.schema, runId);
  const fresh: Run = {
    runId,
    tenant: dispatch.tenant,
    input,
    dispatch,
    startedAt: now,
    migrationId: null,
    results: {},
    outcome: null,
  };
  const run = known ? { ...known, dispatch } : await advance(fresh, ctx);
  await writeRun(tx, store.schema, run);
  await failpoint('migration-run:written', { run: runId });
  if (!run.outcome) return later;
  return run.outcome.ok ? done(run.outcome.output as never) : run.outcome;
});
