import { createPublicKey, verify } from 'node:crypto';
import { judgeAgent, type HostAgents, type IdentityRefusal, type Verdict } from '@chrysalis/agent-gateway-core';
import { agentGatewayEvents, agentProof, type HostAgentIdentity } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { appendOf } from './append.ts';
import type { Hello } from './connection.ts';

/** Whoever changes who has a host, or who is in session for it, waits here: until the transaction ends. */
export const lockHost = (tx: pg.PoolClient, hostId: string): Promise<unknown> =>
  tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`agent-session ${hostId}`]);

/** That the bearer of the key said this on this connection. */
export const isProven = (identity: HostAgentIdentity, hostId: string, nonce: string): boolean => {
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: identity.key }, format: 'jwk' });
  return verify(null, Buffer.from(agentProof(nonce, hostId, identity)), key, Buffer.from(identity.signature, 'base64url'));
};

/** Judged, and kept where it is the host's: under the host's lock, in the transaction that opens the session. */
export const admitAgent = async (tx: pg.PoolClient, { hostId, identity }: Hello, protocol: number): Promise<Verdict> => {
  const verdict = judgeAgent(hostId, await agentsOf(tx, hostId), identity, protocol);
  if (!verdict.ok || !identity || verdict.is === 'same') return verdict;
  await tx.query(
    `insert into agent_gateway.agent_identities (host_id, key, instance) values ($1, $2, $3)
     on conflict (host_id, key) do update set instance = $3`,
    [hostId, identity.key, identity.instance],
  );
  return verdict;
};

export const agentsOf = async (tx: pg.PoolClient, hostId: string): Promise<HostAgents> => {
  const { rows } = await tx.query<{ key: string; instance: string; released: boolean }>(
    `select key, instance, released_at is not null as released from agent_gateway.agent_identities where host_id = $1`,
    [hostId],
  );
  const current = rows.find((r) => !r.released);
  return { ...(current ? { current } : {}), released: new Set(rows.filter((r) => r.released).map((r) => r.key)) };
};

/**
 * An alarm, and not a stream of alarms: a second agent asks again every few seconds. Once an hour, and at once where another one asks, but
 * once a minute at most: anyone with the host's token can make keys.
 */
export const tellRefused = async (
  service: ServiceContext,
  tx: pg.PoolClient,
  { hostId, identity }: Hello,
  { code, message }: IdentityRefusal,
  from: { readonly address: string; readonly tenant: string },
): Promise<void> => {
  const { rowCount } = await tx.query(
    `insert into agent_gateway.agent_refusals as r (host_id, code, key, told_at) values ($1, $2, $3, now())
     on conflict (host_id) do update set code = $2, key = $3, told_at = now()
       where r.told_at < now() - interval '1 hour' or (r.told_at < now() - interval '1 minute' and (r.code, r.key) <> ($2, $3))`,
    [hostId, code, identity?.key ?? ''],
  );
  if (rowCount === 0) return;
  const agentKey = identity ? { agentKey: identity.key } : {};
  const data = { hostId, code, message, ...agentKey, address: from.address, at: service.clock() };
  await appendOf(service, tx, hostId, from.tenant, { type: agentGatewayEvents.hostAgentRefused.type, data });
};
