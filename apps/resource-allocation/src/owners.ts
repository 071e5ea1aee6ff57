import { consumerText, eventsTopic, migrationTemplatesEvents, provisioningEvents } from '@chrysalis/contracts';
import { moveConsumer, vmConsumer } from '@chrysalis/resource-allocation-core';
import { onEvent, type Consumer, type EventContext } from '@chrysalis/service-kit';
import { noteOwner, ownerAgain } from './sql/owners.ts';

const vm = (id: string, ended: boolean, { tx, store, event }: EventContext) =>
  noteOwner(tx, store.schema, consumerText(vmConsumer(id)), ended, event.tenant);
const move = (id: string, ended: boolean, { tx, store }: EventContext) =>
  noteOwner(tx, store.schema, consumerText(moveConsumer(id)), ended);

/** Whose holds may be in the ledger: VMs from their request to their end, moves from their start to theirs. For the audit; nothing is released by it. */
export const owners: Consumer = {
  name: 'owners',
  topics: [eventsTopic('provisioning'), eventsTopic('migration-templates')],
  on: [
    onEvent(provisioningEvents.vmRequested, ({ vmId }, ctx) => vm(vmId, false, ctx)),
    onEvent(provisioningEvents.vmProvisioningFailed, ({ vmId }, ctx) => vm(vmId, true, ctx)),
    onEvent(provisioningEvents.vmDeleted, ({ vmId }, ctx) => vm(vmId, true, ctx)),
    onEvent(migrationTemplatesEvents.moveStarted, ({ moveId }, ctx) => move(moveId, false, ctx)),
    onEvent(migrationTemplatesEvents.moveEnded, ({ moveId }, ctx) => move(moveId, true, ctx)),
    onEvent(migrationTemplatesEvents.moveResumed, ({ moveId }, { tx, store }) =>
      ownerAgain(tx, store.schema, consumerText(moveConsumer(moveId))),
    ),
  ],
};
