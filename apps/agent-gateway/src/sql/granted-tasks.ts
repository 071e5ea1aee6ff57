import type { TaskDispatch } from '@chrysalis/contracts';
import type pg from 'pg';
import type { KeptMeta } from './pending-tasks.ts';

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

/** What waits under the grant, in the order in which it came; each is answered once. */
export const markRevoked = async (tx: pg.PoolClient, grantId: string): Promise<readonly Waiting[]> =>
  (
    await tx.query<Waiting>(
      `with g as (update agent_gateway.granted_tasks set revoked = true where grant_id = $1 and not revoked returning task_key, sent)
       select p.task_key as key, p.host_id as "hostId", p.dispatch, p.meta, g.sent
       from g join agent_gateway.pending_tasks p using (task_key) where p.state = 'pending' order by p.seq`,
      [grantId],
    )
  ).rows;
