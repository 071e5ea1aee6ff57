import { agentGatewayEvents, reportOf, type TaskDispatch } from '@chrysalis/contracts';
import type { MessageContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { markReported, type KeptMeta } from './pending.ts';
import { signal } from './wire.ts';

/**
 * Between a grant and its tasks: who revokes it waits for those that are being admitted under it, and then sees them; who admits one
 * afterwards sees that it was revoked. Until the transaction ends.
 */
export const admitsUnder = (tx: pg.PoolClient, grantId: string): Promise<unknown> =>
  tx.query(`select pg_advisory_xact_lock_shared(hashtextextended($1, 0))`, [`grant ${grantId}`]);
export const revokes = (tx: pg.PoolClient, grantId: string): Promise<unknown> =>
  tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`grant ${grantId}`]);

/**
 * Marks these tasks as on their way to their host, and answers which of them may go. What a revocation found first may not, also where this
 * statement began before it: the row is read again when the revocation has committed.
 */
export const mayGo = async (db: pg.Pool, taskKeys: readonly string[]): Promise<ReadonlySet<string>> => {
  if (taskKeys.length === 0) return new Set();
  const { rows } = await db.query<{ task_key: string }>({
    name: 'granted_tasks_go',
    text: `update agent_gateway.granted_tasks set sent = true where task_key = any($1::text[]) and not revoked returning task_key`,
    values: [taskKeys],
  });
  return new Set(rows.map((r) => r.task_key));
};

type Waiting = {
  readonly key: string;
  readonly hostId: string;
  readonly dispatch: TaskDispatch;
  readonly meta: KeptMeta;
  readonly sent: boolean;
};

/**
 * What waits under the grant: a task that was never sent fails at once. One that was sent may have begun, and only its host knows: it is
 * told to stop, and its report is what became of it; where it is away, it is asked when it is back (`revoked` of the frame).
 */
export const withdrawRevoked = async (ctx: MessageContext, grantId: string): Promise<void> => {
  const { rows } = await ctx.tx.query<Waiting>(
    `with g as (update agent_gateway.granted_tasks set revoked = true where grant_id = $1 and not revoked returning task_key, sent)
     select p.task_key as key, p.host_id as "hostId", p.dispatch, p.meta, g.sent
     from g join agent_gateway.pending_tasks p using (task_key) where p.state = 'pending' order by p.seq`,
    [grantId],
  );
  for (const { key, hostId, dispatch, meta, sent } of rows) {
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
    await markReported(ctx.tx, key);
  }
};
