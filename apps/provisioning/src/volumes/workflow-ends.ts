import { workflowEvents as events, type Cause, type DataOf } from '@chrysalis/contracts';
import type { volumes } from '@chrysalis/provisioning-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { decideVolume } from './decide-volume.ts';

type Ended = DataOf<typeof events.instanceEnded>;

/** Workflows of volumes that end without success leave their volume in a final state, with the first cause. */
@Consumer('volume-workflow-ends')
export class VolumeWorkflowEnds {
  @OnEvent(events.instanceEnded)
  async instanceEnded(data: Ended, ctx: EventContext): Promise<void> {
    const { workflowId, subject: volumeId, state, cause } = data;
    if (state === 'succeeded') return;
    const command = commandFor(data, cause ?? { code: 'workflow.ended', message: `The workflow ended: ${state}` });
    if (!command) return;
    const decided = await decideVolume(ctx, volumeId, command);
    if (!decided.ok) ctx.log.warn({ volumeId, workflowId, rejection: decided.rejection }, 'the end of a workflow does not fit its volume');
  }
}

const commandFor = ({ name, subject: volumeId, workflowId, state }: Ended, cause: Cause): volumes.VolumeCommand | undefined => {
  switch (name) {
    case 'create-volume':
      return { type: 'fail-creation', volumeId, cause, left: state !== 'undone' };
    case 'delete-volume':
      return { type: 'fail-deletion', volumeId, workflowId, cause };
    default:
      return undefined;
  }
};
