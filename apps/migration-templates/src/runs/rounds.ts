import { messageContext, ofTenant, type ServiceContext } from '@chrysalis/service-kit';
import { lookAtDue } from '../due.ts';
import { dueRun, postpone } from '../sql/runs.ts';
import { keep, step } from './step.ts';

const AFTER_A_FAULT_MS = 30_000;

/** Runs that wait go on. */
export const startRounds = (service: ServiceContext): (() => Promise<void>) => {
  const { schema, pool, log, context } = service;
  return lookAtDue(service, {
    next: (tx) => dueRun(tx, schema),
    goOn: async (run, tx) => {
      const meta = { at: service.clock(), correlationId: run.correlationId, actor: `service:${context}`, tenant: run.tenant };
      const ctx = ofTenant(messageContext(service, tx, meta), run.tenant);
      const next = await step(run, ctx);
      await (next === run ? postpone(tx, schema, run.runId) : keep(next, ctx));
    },
    putOff: (run, err) => {
      log.error({ err, run: run.runId }, 'a run could not go on; it is looked at again');
      return postpone(pool, schema, run.runId, AFTER_A_FAULT_MS);
    },
  });
};
