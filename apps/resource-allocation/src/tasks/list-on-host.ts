import { resourceAllocationTasks } from '@chrysalis/contracts';
import { done, failed, handleTask, refused } from '@chrysalis/service-kit';
import { hostNamed, hostNames } from '../sql/hosts.ts';
import { consumersOn, vmsOn } from '../sql/ledger.ts';

/** As many as one set of a migration may have. */
const MOST = 1_000;

export const listOnHostTask = handleTask(
  resourceAllocationTasks.listOnHost,
  async ({ hostId, limit = MOST, expectEmpty }, { tx, store }) => {
    if (!(await hostNamed(tx, store.schema, hostId)))
      return refused({ code: 'host.unknown', hostId, known: await hostNames(tx, store.schema) });
    if (expectEmpty) {
      const left = await consumersOn(tx, store.schema, hostId);
      if (left.length > 0)
        return failed({ code: 'host.not_empty', message: `${hostId} still holds ${left.join(', ')}`, retriable: true, detail: { left } });
    }
    const vms = await vmsOn(tx, store.schema, hostId, limit + 1);
    return done({ vmIds: vms.slice(0, limit), more: vms.length > limit });
  },
);
