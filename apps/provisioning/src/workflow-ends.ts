import { provisioningEvents, workflowEvents as events, type Cause, type DataOf } from '@chrysalis/contracts';
import { actionOfWorkflow, type VmCommand } from '@chrysalis/provisioning-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { decideVm } from './decide-vm.ts';
import { leaveNetwork } from './networks/join.ts';

/** Nearly all workflows succeed, and of those there is nothing to be done here. */
export const endedShort = ({ data }: { readonly data: unknown }): boolean => (data as { state?: unknown } | null)?.state !== 'succeeded';

/** All that was done is taken back; a cancelled one says what is not. */
export const isUndone = ({ state, missing = [] }: DataOf<typeof events.instanceEnded>): boolean =>
  state === 'undone' || (state === 'cancelled' && missing.length === 0);

/** Our workflows that end without success leave their VM in a final state, with the first cause. */
@Consumer('workflow-ends', { wants: endedShort })
export class WorkflowEnds {
  @OnEvent(events.instanceEnded)
  async instanceEnded(data: DataOf<typeof events.instanceEnded>, ctx: EventContext): Promise<void> {
    const { workflowId, subject: vmId, name, state, cause } = data;
    if (state === 'succeeded') return;
    const command = commandFor(name, vmId, workflowId, cause ?? { code: 'workflow.ended', message: `The workflow ended: ${state}` });
    if (!command) return;
    const decided = await decideVm(ctx, vmId, command);
    if (!decided.ok) return ctx.log.warn({ vmId, workflowId, rejection: decided.rejection }, 'the end of a workflow does not fit its VM');
    // One that could not be taken out may be there, and has its address until it is detached.
    for (const e of decided.events)
      if (e.type === provisioningEvents.vmChangeEnded.type && e.data.change === 'attach-nic' && isUndone(data))
        await leaveNetwork(ctx, vmId, e.data.networkId!);
  }
}

const commandFor = (name: string, vmId: string, workflowId: string, cause: Cause): VmCommand | undefined => {
  switch (name) {
    case 'provision-vm':
      return { type: 'fail-provisioning', vmId, cause };
    case 'delete-vm':
      return { type: 'fail-deletion', vmId, workflowId, cause };
    case 'set-filter':
    case 'attach-nic':
    case 'detach-nic':
      return { type: 'end-change', vmId, workflowId, outcome: 'failed', cause };
    default:
      return actionOfWorkflow(name) && { type: 'fail-action', vmId, workflowId, cause };
  }
};
