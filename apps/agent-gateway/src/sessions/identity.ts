import { createPublicKey, verify } from 'node:crypto';
import { judgeAgent, type IdentityRefusal, type Verdict } from '@chrysalis/agent-gateway-core';
import { agentGatewayEvents, agentProof, type HostAgentIdentity } from '@chrysalis/contracts';
import type { ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { agentsOf, keepAgent } from '../sql/agent-identities.ts';
import { noteRefusal } from '../sql/agent-refusals.ts';
import { appendOf } from './append.ts';
import type { Hello } from './connection.ts';

/** That the bearer of the key said this on this connection. */
export const isProven = (identity: HostAgentIdentity, hostId: string, nonce: string): boolean => {
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: identity.key }, format: 'jwk' });
  return verify(null, Buffer.from(agentProof(nonce, hostId, identity)), key, Buffer.from(identity.signature, 'base64url'));
};

/** Judged, and kept where it is the host's: under the host's lock, in the transaction that opens the session. */
export const admitAgent = async (tx: pg.PoolClient, { hostId, identity }: Hello, protocol: number): Promise<Verdict> => {
  const verdict = judgeAgent(hostId, await agentsOf(tx, hostId), identity, protocol);
  if (!verdict.ok || !identity || verdict.is === 'same') return verdict;
  await keepAgent(tx, hostId, identity);
  return verdict;
};

/**
 * An alarm, and not a stream of alarms: a second agent asks again every few seconds, and anyone with the host's token can make keys.
 */
export const tellRefused = async (
  service: ServiceContext,
  tx: pg.PoolClient,
  { hostId, identity }: Hello,
  { code, message }: IdentityRefusal,
  from: { readonly address: string; readonly tenant: string },
): Promise<void> => {
  if (!(await noteRefusal(tx, hostId, code, identity?.key ?? ''))) return;
  const agentKey = identity ? { agentKey: identity.key } : {};
  const data = { hostId, code, message, ...agentKey, address: from.address, at: service.clock() };
  await appendOf(service, tx, hostId, from.tenant, { type: agentGatewayEvents.hostAgentRefused.type, data });
};
