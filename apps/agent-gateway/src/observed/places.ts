import { eventsTopic, provisioningEvents as events } from '@chrysalis/contracts';
import { onEvent, type Consumer, type EventContext } from '@chrysalis/service-kit';

type Place = { readonly vmId: string; readonly hostId: string; readonly epoch: number };

/**
 * Which host has which VM, at which epoch, as the VM's own stream tells it: whose word about it counts. A consumer of its own, so that
 * it reads from the beginning also where the service knew VMs before it knew their places.
 */
export const vmPlaces: Consumer = {
  name: 'vm-places',
  topics: [eventsTopic('provisioning')],
  on: [
    onEvent(events.vmPlaced, (placed, ctx) => isAt(placed, ctx)),
    onEvent(events.vmBooted, (booted, ctx) => isAt(booted, ctx)),
    onEvent(events.vmSwitchedOver, ({ vmId, toHost, epoch }, ctx) => isAt({ vmId, hostId: toHost, epoch }, ctx)),
    onEvent(events.vmProvisioningFailed, ({ vmId }, ctx) => isNowhere(vmId, ctx)),
    onEvent(events.vmDeleted, ({ vmId }, ctx) => isNowhere(vmId, ctx)),
  ],
};

const isAt = async ({ vmId, hostId, epoch }: Place, { tx, event }: EventContext): Promise<void> => {
  await tx.query(
    `insert into agent_gateway.vm_places (vm_id, tenant, host_id, epoch) values ($1, $2, $3, $4)
     on conflict (vm_id) do update set host_id = excluded.host_id, epoch = excluded.epoch`,
    [vmId, event.tenant, hostId, epoch],
  );
};

const isNowhere = async (vmId: string, { tx }: EventContext): Promise<void> => {
  await tx.query('delete from agent_gateway.vm_places where vm_id = $1', [vmId]);
};
