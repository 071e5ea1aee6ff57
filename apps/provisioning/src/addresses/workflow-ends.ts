import { addressEvents, workflowEvents as events, type DataOf } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { unlockVm } from '../lock-vm.ts';
import { endedShort } from '../workflow-ends.ts';
import { decideAddress } from './decide-address.ts';

type Ended = DataOf<typeof events.instanceEnded>;
const ours: ReadonlySet<string> = new Set(['bind-address', 'move-address', 'unbind-address']);

/** Its tasks that say who has the address; what a guest carries beside that is dropped by its host. */
const ofHosts: ReadonlySet<string> = new Set(['take', 'give']);

/** Workflows of addresses that end without success leave the address as it was, or say that they could not, and let go of its VMs. */
@Consumer('address-workflow-ends', { wants: endedShort })
export class AddressWorkflowEnds {
  @OnEvent(events.instanceEnded)
  async instanceEnded(data: Ended, ctx: EventContext): Promise<void> {
    const { workflowId, subject: addressId, state, missing = [], cause: why } = data;
    if (state === 'succeeded' || !ours.has(data.name)) return;
    const cause = why ?? { code: 'workflow.ended', message: `The workflow ended: ${state}` };
    const undone = state === 'undone' || ((state === 'cancelled' || missing.length > 0) && !missing.some((task) => ofHosts.has(task)));
    const decided = await decideAddress(ctx, addressId, { type: 'fail-action', addressId, workflowId, undone, cause });
    if (!decided.ok) return ctx.log.warn({ addressId, workflowId, rejection: decided.rejection }, 'the end of a workflow does not fit');
    for (const e of decided.events) if (e.type === addressEvents.addressActionFailed.type) await unlock(ctx, e.data);
  }
}

const unlock = async (ctx: EventContext, failed: DataOf<typeof addressEvents.addressActionFailed>): Promise<void> => {
  const { vmId: to, from, workflowId, cause } = failed;
  for (const vmId of [to, ...(from === undefined ? [] : [from])].sort()) {
    const free = await unlockVm(ctx, { vmId, workflowId, cause });
    if (!free.ok) ctx.log.warn({ vmId, workflowId, rejection: free.rejection }, 'a VM does not let go of its change');
  }
};
