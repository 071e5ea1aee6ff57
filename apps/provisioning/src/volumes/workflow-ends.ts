import { volumeEvents, workflowEvents as events, type Cause, type DataOf } from '@chrysalis/contracts';
import type { volumes } from '@chrysalis/provisioning-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { endedShort, isUndone } from '../workflow-ends.ts';
import { endCopyOf } from './copy.ts';
import { decideVolume } from './decide-volume.ts';
import { unlockVm } from '../lock-vm.ts';
import { isChange } from './on-vm.ts';

type Ended = DataOf<typeof events.instanceEnded>;

/** Workflows of volumes that end without success leave their volume in a final state, with the first cause. */
@Consumer('volume-workflow-ends', { wants: endedShort })
export class VolumeWorkflowEnds {
  @OnEvent(events.instanceEnded)
  async instanceEnded(data: Ended, ctx: EventContext): Promise<void> {
    const { workflowId, subject: volumeId, state, cause } = data;
    if (state === 'succeeded') return;
    const command = commandFor(data, cause ?? { code: 'workflow.ended', message: `The workflow ended: ${state}` });
    if (!command) return;
    const decided = await decideVolume(ctx, volumeId, command);
    if (!decided.ok) return amiss(ctx, data, decided.rejection);
    if (data.name === 'create-volume') await endCopyOf(ctx, decided.volume.from, workflowId);
    for (const e of decided.events)
      if (e.type === volumeEvents.volumeActionFailed.type && e.data.vmId !== undefined) {
        const unlocked = await unlockVm(ctx, { vmId: e.data.vmId, workflowId, cause: e.data.cause });
        if (!unlocked.ok) amiss(ctx, data, unlocked.rejection);
      }
  }
}

const amiss = (ctx: EventContext, { workflowId, subject: volumeId }: Ended, rejection: unknown): void =>
  ctx.log.warn({ volumeId, workflowId, rejection }, 'the end of a workflow does not fit its volume');

const commandFor = (ended: Ended, cause: Cause): volumes.VolumeCommand | undefined => {
  const { name, subject: volumeId, workflowId } = ended;
  switch (name) {
    case 'create-volume':
      return { type: 'fail-creation', volumeId, cause, left: !isUndone(ended) };
    case 'delete-volume':
      return { type: 'fail-deletion', volumeId, workflowId, cause };
    default:
      return isChange(name) ? { type: 'fail-action', volumeId, workflowId, undone: isUndone(ended), cause } : undefined;
  }
};
