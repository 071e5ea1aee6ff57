import { agentGatewayEvents, eventsTopic, type Observed } from '@chrysalis/contracts';
import { onEvent, type Consumer } from '@chrysalis/service-kit';

/**
 * What hosts see their VMs do, beside what is wanted of them. Kept as it comes, and judged when it is read: whether it speaks of the VM
 * as it is now is known by then.
 */
export const observations: Consumer = {
  name: 'observed',
  topics: [eventsTopic('agent-gateway')],
  on: [
    onEvent(agentGatewayEvents.vmObserved, async ({ vmId, hostId, epoch, observed }, { tx, store, event }) => {
      await tx.query(
        `insert into ${store.schema}.observed as o (vm, version, host, epoch, observed) values ($1, $2, $3, $4, $5)
         on conflict (vm) do update set version = excluded.version, host = excluded.host, epoch = excluded.epoch, observed = excluded.observed
         where o.version < excluded.version`,
        [vmId, event.streamversion, hostId, epoch, JSON.stringify(observed satisfies Observed)],
      );
    }),
  ],
};
