import type { HostAgents } from '@chrysalis/agent-gateway-core';
import type { HostAgentIdentity } from '@chrysalis/contracts';
import type pg from 'pg';

/** Whoever changes who has a host, or who is in session for it, waits here: until the transaction ends. */
export const lockHost = (tx: pg.PoolClient, hostId: string): Promise<unknown> =>
  tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`agent-session ${hostId}`]);

export const agentsOf = async (tx: pg.PoolClient, hostId: string): Promise<HostAgents> => {
  const { rows } = await tx.query<{ key: string; instance: string; released: boolean }>(
    `select key, instance, released_at is not null as released from agent_gateway.agent_identities where host_id = $1`,
    [hostId],
  );
  const current = rows.find((r) => !r.released);
  return { ...(current ? { current } : {}), released: new Set(rows.filter((r) => r.released).map((r) => r.key)) };
};

export const keepAgent = async (tx: pg.PoolClient, hostId: string, { key, instance }: HostAgentIdentity): Promise<void> => {
  await tx.query(
    `insert into agent_gateway.agent_identities (host_id, key, instance) values ($1, $2, $3)
     on conflict (host_id, key) do update set instance = $3`,
    [hostId, key, instance],
  );
};

export const releaseAgent = async (tx: pg.PoolClient, hostId: string, key: string, at: string): Promise<void> => {
  await tx.query(`update agent_gateway.agent_identities set released_at = $3 where host_id = $1 and key = $2`, [hostId, key, at]);
};
