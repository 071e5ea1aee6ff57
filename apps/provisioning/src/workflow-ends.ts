import { workflowEvents as events, type Cause, type DataOf } from '@chrysalis/contracts';
import { actionOfWorkflow, type VmCommand } from '@chrysalis/provisioning-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { decideVm } from './decide-vm.ts';

/** Nearly all workflows succeed, and of those there is nothing to be done here. */
export const endedShort = ({ data }: { readonly data: unknown }): boolean => (data as { state?: unknown } | null)?.state !== 'succeeded';

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
    if (!decided.ok) ctx.log.warn({ vmId, workflowId, rejection: decided.rejection }, 'the end of a workflow does not fit its VM');
  }
}

const commandFor = (name: string, vmId: string, workflowId: string, cause: Cause): VmCommand | undefined => {
  switch (name) {
    case 'provision-vm':
      return { type: 'fail-provisioning', vmId, cause };
    case 'delete-vm':
      return { type: 'fail-deletion', vmId, workflowId, cause };
    case 'set-filter':
      return { type: 'end-change', vmId, workflowId, outcome: 'failed', cause };
    default:
      return actionOfWorkflow(name) && { type: 'fail-action', vmId, workflowId, cause };
  }
};
