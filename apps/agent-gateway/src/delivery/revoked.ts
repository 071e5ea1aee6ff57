import { agentGatewayEvents, reportOf } from '@chrysalis/contracts';
import type { MessageContext } from '@chrysalis/service-kit';
import { markRevoked } from '../sql/granted-tasks.ts';
import { markReported } from '../sql/pending-tasks.ts';
import { signal } from './wire.ts';

/**
 * What waits under the grant: a task that was never sent fails at once. One that was sent may have begun, and only its host knows: it is
 * told to stop, and its report is what became of it; where it is away, it is asked when it is back (`revoked` of the frame).
 */
export const withdrawRevoked = async (ctx: MessageContext, grantId: string): Promise<void> => {
  for (const { key, hostId, dispatch, meta, sent } of await markRevoked(ctx.tx, grantId)) {
    const { workflowId, task, token } = dispatch;
    if (sent) {
      await signal(ctx.tx, { to: 'frame', hostId, frame: { type: 'cancel', workflowId, task, token } });
      continue;
    }
    const cause = { code: 'grant.revoked', message: `${grantId} was revoked before ${task} was sent to ${hostId}`, retriable: false };
    const event = {
      id: ctx.newId(),
      type: agentGatewayEvents.taskReported.type,
      data: reportOf(dispatch, { ok: false, cause }, ctx.now),
      meta: { ...meta, at: ctx.now, actor: ctx.meta.actor },
    };
    await ctx.store.append({ stream: `task-${workflowId}`, expected: 'any', events: [event] }, ctx.tx);
    await markReported(ctx.tx, [key]);
  }
};
