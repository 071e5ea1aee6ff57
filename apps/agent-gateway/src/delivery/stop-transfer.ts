import { hostTasks, type DataOf, type workflowEvents } from '@chrysalis/contracts';
import type { EventContext } from '@chrysalis/service-kit';
import { pendingOfKind } from '../sql/pending-tasks.ts';
import { signal } from './wire.ts';

/**
 * Who cancels a move does not wait for a transfer of hours: its host is told to stop it, and says what became of it, which is what the
 * workflow waits for. Behind its fence it goes on, as does a host that is away. Other tasks end by themselves: they are short, and one that
 * was stopped beside a point of no return that is passed would be one that nobody undoes.
 */
export const stopTransfer = async (
  { workflowId, compensate }: DataOf<typeof workflowEvents.cancelRequested>,
  ctx: EventContext,
): Promise<void> => {
  if (compensate === false) return; // what is done stays
  for (const { hostId, task, token } of await pendingOfKind(ctx.tx, workflowId, hostTasks.transfer.kind))
    await signal(ctx.tx, { to: 'frame', hostId, frame: { type: 'cancel', workflowId, task, token } });
};
