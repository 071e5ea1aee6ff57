import { consumerText, migrationTemplatesEvents, provisioningEvents, type DataOf } from '@chrysalis/contracts';
import { moveConsumer, vmConsumer } from '@chrysalis/resource-allocation-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { noteOwner, ownerAgain } from './sql/owners.ts';

const { vmRequested, vmProvisioningFailed, vmDeleted } = provisioningEvents;
const { moveStarted, moveEnded, moveResumed } = migrationTemplatesEvents;

/** Whose holds may be in the ledger: VMs from their request to their end, moves from their start to theirs. For the audit; nothing is released by it. */
@Consumer('owners', { view: true })
export class Owners {
  @OnEvent(vmRequested)
  async vmBegins({ vmId }: DataOf<typeof vmRequested>, { tx, store, event }: EventContext): Promise<void> {
    await noteOwner(tx, store.schema, consumerText(vmConsumer(vmId)), false, event.tenant);
  }

  @OnEvent(vmProvisioningFailed, vmDeleted)
  async vmEnds({ vmId }: DataOf<typeof vmProvisioningFailed | typeof vmDeleted>, { tx, store, event }: EventContext): Promise<void> {
    await noteOwner(tx, store.schema, consumerText(vmConsumer(vmId)), true, event.tenant);
  }

  @OnEvent(moveStarted)
  async moveBegins({ moveId }: DataOf<typeof moveStarted>, { tx, store }: EventContext): Promise<void> {
    await noteOwner(tx, store.schema, consumerText(moveConsumer(moveId)), false);
  }

  @OnEvent(moveEnded)
  async moveEnds({ moveId }: DataOf<typeof moveEnded>, { tx, store }: EventContext): Promise<void> {
    await noteOwner(tx, store.schema, consumerText(moveConsumer(moveId)), true);
  }

  @OnEvent(moveResumed)
  async moveGoesOn({ moveId }: DataOf<typeof moveResumed>, { tx, store }: EventContext): Promise<void> {
    await ownerAgain(tx, store.schema, consumerText(moveConsumer(moveId)));
  }
}
