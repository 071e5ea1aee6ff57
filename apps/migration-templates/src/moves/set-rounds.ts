import { every, messageContext, type ServiceContext } from '@chrysalis/service-kit';
import { dueMigration, lookAt, lookNoMore } from '../sql/migrations.ts';
import { setOn } from './set-on.ts';

const EVERY_MS = 500;
const AFTER_A_FAULT_MS = 10_000;
const AT_MOST = 100;

/** Sets whose time has come are looked at, one in a transaction, each by one instance at a time. */
export const startSetRounds = (service: ServiceContext): (() => Promise<void>) =>
  every(EVERY_MS, service.log, async () => {
    for (let n = 0; n < AT_MOST && (await lookAtOne(service)); n++);
  });

const lookAtOne = async (service: ServiceContext): Promise<boolean> => {
  let looked: string | undefined;
  try {
    return await service.store.transaction(
      async (tx) => {
        const due = await dueMigration(tx, service.schema);
        if (!due) return false;
        looked = due.migrationId;
        await lookNoMore(tx, service.schema, looked);
        const at = service.clock();
        const meta = { at, correlationId: looked, actor: `service:${service.context}`, tenant: due.tenant };
        const decided = await setOn(messageContext(service, tx, meta), looked, { kind: 'advance', at }, due.tenant);
        if (!decided.ok) throw new Error(`a set that was looked at says ${decided.rejection.code}`);
        return true;
      },
      { attempts: 5 },
    );
  } catch (err) {
    if (looked === undefined) throw err;
    service.log.error({ err, migration: looked }, 'a set could not go on; it is looked at again');
    await lookAt(service.pool, service.schema, looked, new Date(Date.parse(service.clock()) + AFTER_A_FAULT_MS).toISOString(), 'then');
    return true;
  }
};
