import { agentGatewayEvents as events, type DataOf } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { noteSighting } from './sql.ts';

/** What hosts see their VMs do; each is considered by `Restarts`, soon after. */
@Consumer('sightings', { view: true })
export class Sightings {
  @OnEvent(events.vmObserved)
  vmObserved({ vmId, hostId, epoch, observed }: DataOf<typeof events.vmObserved>, ctx: EventContext): Promise<void> {
    return noteSighting(ctx.tx, ctx.store.schema, { vmId, version: Number(ctx.event.streamversion), hostId, epoch, observed });
  }
}
