import { provisioningEvents as events, type DataOf } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { forgetPlace, keepPlace } from './sql.ts';

const { vmPlaced, vmBooted, vmSwitchedOver, vmProvisioningFailed, vmDeleted } = events;
type Place = { readonly vmId: string; readonly hostId: string; readonly epoch: number };

/**
 * Which host has which VM, at which epoch, as the VM's own stream tells it: whose word about it counts. A consumer of its own, so that
 * it reads from the beginning also where the service knew VMs before it knew their places.
 */
@Consumer('vm-places', { view: true })
export class VmPlaces {
  @OnEvent(vmPlaced, vmBooted)
  isThere(place: DataOf<typeof vmPlaced | typeof vmBooted>, ctx: EventContext): Promise<void> {
    return isAt(place, ctx);
  }

  @OnEvent(vmSwitchedOver)
  switchedOver({ vmId, toHost, epoch }: DataOf<typeof vmSwitchedOver>, ctx: EventContext): Promise<void> {
    return isAt({ vmId, hostId: toHost, epoch }, ctx);
  }

  @OnEvent(vmProvisioningFailed, vmDeleted)
  async isNoMore({ vmId }: DataOf<typeof vmProvisioningFailed | typeof vmDeleted>, { tx }: EventContext): Promise<void> {
    await forgetPlace(tx, vmId);
  }
}

const isAt = (place: Place, { tx, event }: EventContext): Promise<void> => keepPlace(tx, place, event.tenant);
