import { agentGatewayEvents as events, type DataOf, type Observed } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';

/** What hosts see their VMs do. Kept as it comes: whether it speaks of a VM as it is now is known when it is read. */
@Consumer('known-observed', { view: true })
export class KnownObserved {
  @OnEvent(events.vmObserved)
  async vmObserved(data: DataOf<typeof events.vmObserved>, { tx, store, event }: EventContext): Promise<void> {
    const { vmId, hostId, epoch, observed } = data;
    await tx.query(
      `insert into ${store.schema}.known_observed as o (vm_id, version, host_id, epoch, observed, reset_at)
       values ($1, $2, $3, $4, $5, case when $6 > 0 then $7::timestamptz end)
       on conflict (vm_id) do update
         set version = excluded.version, host_id = excluded.host_id, epoch = excluded.epoch, observed = excluded.observed,
             reset_at = case when $6 > (case when o.host_id = excluded.host_id then (o.observed->>'resets')::int else 0 end)
                             then $7::timestamptz else o.reset_at end
       where o.version < excluded.version`,
      [vmId, event.streamversion, hostId, epoch, JSON.stringify(observed), observed.resets, event.time],
    );
  }
}

export type Seen = { readonly hostId: string; readonly epoch: number; readonly observed: Observed };

export const observedOf = async (q: Queryable, schema: string, vmIds: readonly string[]): Promise<ReadonlyMap<string, Seen>> => {
  const { rows } = await q.query<{ vm_id: string; host_id: string; epoch: number; observed: Observed }>(
    `select vm_id, host_id, epoch, observed from ${schema}.known_observed where vm_id = any($1)`,
    [vmIds],
  );
  return new Map(rows.map((r) => [r.vm_id, { hostId: r.host_id, epoch: r.epoch, observed: r.observed }]));
};
