import { createHash } from 'node:crypto';
import { AGENT_PROTOCOL, agentGatewayEvents, type Code } from '@chrysalis/contracts';
import { canonicalJson } from '@chrysalis/kernel';
import { verifyToken, type ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { signal } from '../delivery/wire.ts';
import { lockHost } from '../sql/agent-identities.ts';
import { keepSession, sessionWith } from '../sql/agent-sessions.ts';
import { appendOf } from './append.ts';
import type { Hello } from './connection.ts';
import { admitAgent, isProven, tellRefused } from './identity.ts';

type Opened = { readonly sessionId: string; readonly generation: number; readonly isNew: boolean };
export type Enrolled =
  | ({ readonly ok: true; readonly protocol: number; readonly tenant: string } & Opened)
  | { readonly ok: false; readonly code: Code; readonly message: string };
/** The connection that asks, and where it comes from. */
export type Asking = { readonly id: string; readonly from: { readonly nonce: string; readonly address: string } };

const refused = (code: Code, message: string): Enrolled => ({ ok: false, code, message });

/** Who may open a session for a host: its agent, with a token that has the role `host-agent` and that host as its subject. */
export const enrol = async (service: ServiceContext, hello: Hello, asking: Asking): Promise<Enrolled> => {
  const protocol = Math.min(AGENT_PROTOCOL.max, hello.protocol.max);
  if (protocol < Math.max(AGENT_PROTOCOL.min, hello.protocol.min))
    return refused(
      'agent.protocol_unsupported',
      `this gateway speaks ${AGENT_PROTOCOL.min} to ${AGENT_PROTOCOL.max}, the agent ${hello.protocol.min} to ${hello.protocol.max}`,
    );
  const { hostId, identity } = hello;
  const caller = await verifyToken(service.config.tokenKey, hello.token);
  if (!caller?.roles.includes('host-agent')) return refused('agent.token_invalid', 'not a valid token of a host agent');
  if (caller.sub !== hostId && caller.sub !== `host:${hostId}`) return refused('agent.foreign_host', `the token is not for ${hostId}`);
  if (hello.facts.hostId !== hostId) return refused('agent.foreign_host', `the facts are of ${hello.facts.hostId}`);
  if (identity && !isProven(identity, hostId, asking.from.nonce))
    return refused('agent.identity_invalid', 'the signature is not by the key that it names, over this connection');
  const { tenant } = caller;
  return service.store.transaction(
    async (tx): Promise<Enrolled> => {
      await lockHost(tx, hostId);
      const verdict = await admitAgent(tx, hello, protocol);
      if (verdict.ok) return { ok: true, protocol, tenant, ...(await openSession(service, tx, hello, asking.id, tenant)) };
      await tellRefused(service, tx, hello, verdict, { address: asking.from.address, tenant });
      return verdict;
    },
    { attempts: 5 },
  );
};

/**
 * One session a host. A connection that comes back before its session was lost, with the same facts, goes on in it and says nothing
 * new: a flapping link is not a stream of events.
 */
const openSession = async (
  service: ServiceContext,
  tx: pg.PoolClient,
  { hostId, agentVersion, facts, kinds, capacity, identity, pools }: Hello,
  connectionId: string,
  tenant: string,
): Promise<Opened> => {
  const told = {
    agentVersion,
    facts,
    ...(kinds ? { kinds } : {}),
    ...(capacity ? { capacity } : {}),
    ...(identity ? { agentKey: identity.key } : {}),
  };
  const factsHash = createHash('sha256').update(canonicalJson(told)).digest('hex');
  const before = await sessionWith(tx, hostId, factsHash);
  const sessionId = before ?? service.newId('session');
  const generation = await keepSession(tx, { hostId, sessionId, connectionId, factsHash });
  await signal(tx, { to: 'replaced', hostId, generation });
  if (before !== undefined) return { sessionId, generation, isNew: false };
  const data = { hostId, sessionId, ...told, ...(pools ? { pools } : {}) }; // no part of the hash: room changes all the time
  await appendOf(service, tx, hostId, tenant, { type: agentGatewayEvents.hostAgentEnrolled.type, data });
  return { sessionId, generation, isNew: true };
};
