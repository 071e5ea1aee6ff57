import { agentGatewayEvents } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { loseSilent, noteSeen } from '../sql/agent-sessions.ts';
import { appendOf } from './append.ts';

/** One statement for all connections of this instance. Answers those that are a host's session no longer. */
export const seen = async ({ pool }: ServiceContext, connectionIds: readonly string[]): Promise<readonly string[]> => {
  if (connectionIds.length === 0) return [];
  const current = await noteSeen(pool, connectionIds);
  return connectionIds.filter((id) => !current.has(id));
};

/** Hosts whose heartbeats stopped: said once. Lost is not dead: nothing of theirs is started elsewhere because of it. */
export const sweepLost = (service: ServiceContext, deadlineMs: number): Promise<number> =>
  service.store.transaction(
    async (tx) => {
      const rows = await loseSilent(tx, deadlineMs);
      for (const { host_id: hostId, session_id: sessionId } of rows) {
        const data = { hostId, sessionId, reason: `no heartbeat for ${deadlineMs} ms` };
        await appendOf(service, tx, hostId, 'default', { type: agentGatewayEvents.hostAgentLost.type, data });
      }
      return rows.length;
    },
    { attempts: 5 },
  );
