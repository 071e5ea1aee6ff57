import { every, messageContext, ofTenant, type ServiceContext } from '@chrysalis/service-kit';
import { dueRun, postpone } from '../sql/runs.ts';
import { keep, step } from './step.ts';

const EVERY_MS = 500;
/** One that a fault holds up does not hold up the others. */
const AFTER_A_FAULT_MS = 30_000;
const AT_MOST = 100;

/** Runs that wait are looked at, one in a transaction, each by one instance at a time. */
export const startRounds = (service: ServiceContext): (() => Promise<void>) =>
  every(EVERY_MS, service.log, async () => {
    for (let n = 0; n < AT_MOST && (await lookAtOne(service)); n++);
  });

const lookAtOne = async (service: ServiceContext): Promise<boolean> => {
  let looked: string | undefined;
  try {
    return await service.store.transaction(
      async (tx) => {
        const run = await dueRun(tx, service.schema);
        if (!run) return false;
        looked = run.runId;
        const meta = { at: service.clock(), correlationId: run.correlationId, actor: `service:${service.context}`, tenant: run.tenant };
        const ctx = ofTenant(messageContext(service, tx, meta), run.tenant);
        const next = await step(run, ctx);
        await (next === run ? postpone(tx, service.schema, run.runId) : keep(next, ctx));
        return true;
      },
      { attempts: 5 },
    );
  } catch (err) {
    if (looked === undefined) throw err;
    service.log.error({ err, run: looked }, 'a run could not go on; it is looked at again');
    await postpone(service.pool, service.schema, looked, AFTER_A_FAULT_MS);
    return true;
  }
};
