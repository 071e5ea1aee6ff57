import { taskKey, type DataOf, type workflowEvents } from '@chrysalis/contracts';
import type { EventContext } from '@chrysalis/service-kit';
import { withdrawPending } from '../sql/pending-tasks.ts';
import { signal } from '../delivery/wire.ts';

/**
 * An attempt failed in the workflow's eyes: an award lapsed, a heartbeat was missed, a deadline passed. Where the host has not reported it,
 * it is not delivered any more, and who has it already is told to stop.
 */
export const withdraw = async (failed: DataOf<typeof workflowEvents.taskFailed>, ctx: EventContext): Promise<void> => {
  const { workflowId, task, attempt } = failed;
  const withdrawn = await withdrawPending(ctx.tx, taskKey({ workflowId, task, action: 'run', attempt }));
  if (!withdrawn) return;
  const { hostId, token } = withdrawn;
  await signal(ctx.tx, { to: 'frame', hostId, frame: { type: 'cancel', workflowId, task, token } });
};
