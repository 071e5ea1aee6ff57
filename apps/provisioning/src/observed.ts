import { agentGatewayEvents as events, type DataOf, type Observed } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';

/**
 * What hosts see their VMs do, beside what is wanted of them. Kept as it comes, and judged when it is read: whether it speaks of the VM
 * as it is now is known by then.
 */
@Consumer('observed')
export class Observations {
  @OnEvent(events.vmObserved)
  async vmObserved(data: DataOf<typeof events.vmObserved>, { tx, store, event }: EventContext): Promise<void> {
    const { vmId, hostId, epoch, observed } = data;
    await tx.query(
      `insert into ${store.schema}.observed as o (vm, version, host, epoch, observed) values ($1, $2, $3, $4, $5)
       on conflict (vm) do update set version = excluded.version, host = excluded.host, epoch = excluded.epoch, observed = excluded.observed
       where o.version < excluded.version`,
      [vmId, event.streamversion, hostId, epoch, JSON.stringify(observed satisfies Observed)],
    );
  }
}
