import { agentGatewayEvents } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import { appendOf } from './append.ts';

/** One statement for all connections of this instance. Answers those that are a host's session no longer. */
export const seen = async ({ pool }: ServiceContext, connectionIds: readonly string[]): Promise<readonly string[]> => {
  if (connectionIds.length === 0) return [];
  const { rows } = await pool.query<{ connection_id: string }>(
    `update agent_gateway.agent_sessions set last_seen = now() where connection_id = any($1::text[]) and not lost returning connection_id`,
    [connectionIds],
  );
  const current = new Set(rows.map((r) => r.connection_id));
  return connectionIds.filter((id) => !current.has(id));
};

/** Hosts whose heartbeats stopped: said once. Lost is not dead: nothing of theirs is started elsewhere because of it. */
export const sweepLost = (service: ServiceContext, deadlineMs: number): Promise<number> =>
  service.store.transaction(
    async (tx) => {
      const { rows } = await tx.query<{ host_id: string; session_id: string }>(
        `update agent_gateway.agent_sessions set lost = true
         where host_id in (select host_id from agent_gateway.agent_sessions
                           where not lost and last_seen < now() - $1 * interval '1 ms' limit 500 for update skip locked)
         returning host_id, session_id`,
        [deadlineMs],
      );
      for (const { host_id: hostId, session_id: sessionId } of rows) {
        const data = { hostId, sessionId, reason: `no heartbeat for ${deadlineMs} ms` };
        await appendOf(service, tx, hostId, 'default', { type: agentGatewayEvents.hostAgentLost.type, data });
      }
      return rows.length;
    },
    { attempts: 5 },
  );
