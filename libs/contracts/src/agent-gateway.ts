import { z } from 'zod';
import { event, type EventsOf } from './define.ts';
import { Capacity, TaskKinds } from './executors.ts';
import { HostAgentIdentity } from './agent-protocol.ts';
import { Observed } from './observed.ts';
import { PoolSeen } from './pools.ts';
import { Count, HostFacts, Id, Name, Positive, Sha256, Timestamp } from './shapes.ts';
import { taskBid, taskHeartbeat, taskReported } from './task-execution.ts';

/** The claims of a grant: a JWS (EdDSA) signed by a tenant administrator's key, `kid` in the header. */
/** To the end of the year 9999: beyond it no moment can be written. */
const Seconds = z.int().min(0).max(253_402_300_799);

export const GrantClaims = z.object({
  jti: Id,
  iss: Name.describe('tenant'),
  iat: Seconds,
  exp: Seconds,
  vms: z.array(Id).min(1).max(1000),
  packages: z.array(Sha256).max(64),
  uses: Positive.max(10_000),
  actions: z.array(z.enum(['add-agent', 'characterise', 'reconfigure', 'run-script'])).min(1),
});
export type GrantClaims = z.infer<typeof GrantClaims>;

const AgentKey = HostAgentIdentity.shape.key;

/** Streams: `host-agent-<hostId>`, `observed-<vmId>`, `console-<vmId>`, `grant-<jti>`, `tenant-key-<tenant>`, `task-<workflowId>`. */
export const agentGatewayEvents = {
  hostAgentEnrolled: event(
    'chrysalis.agent-gateway.host-agent.enrolled.v1',
    'A host agent opened a session and told its facts',
    z.object({
      hostId: Name,
      sessionId: Id,
      agentVersion: z.string(),
      facts: HostFacts,
      kinds: TaskKinds.optional(),
      capacity: Capacity.optional(),
      agentKey: AgentKey.optional(),
      pools: z.array(PoolSeen).optional(),
    }),
  ),
  hostPoolsObserved: event(
    'chrysalis.agent-gateway.host-agent.pools-observed.v1',
    'The room of pools of a host differs from what was told of it',
    z.object({ hostId: Name, pools: z.array(PoolSeen) }),
  ),
  hostAgentLost: event(
    'chrysalis.agent-gateway.host-agent.lost.v1',
    'A session ended or its heartbeats stopped; lost is not dead',
    z.object({ hostId: Name, sessionId: Id, reason: z.string() }),
  ),
  hostAgentRefused: event(
    'chrysalis.agent-gateway.host-agent.refused.v1',
    'A second agent asked for a host that has one: refused; said at most once a minute',
    z.object({
      hostId: Name,
      code: z.string(),
      message: z.string(),
      agentKey: AgentKey.optional(),
      address: z.string().max(255),
      at: Timestamp,
    }),
  ),
  hostAgentReleased: event(
    'chrysalis.agent-gateway.host-agent.released.v1',
    'An operator took the host from its agent, for good; the next one that comes has it',
    z.object({ hostId: Name, agentKey: AgentKey, reason: z.string().max(255), at: Timestamp }),
  ),
  hostClockMeasured: event(
    'chrysalis.agent-gateway.host-agent.clock-measured.v1',
    "A host's clock was measured for the first time, or differs by a second or more from what was told",
    z.object({ hostId: Name, skewMs: z.int().describe('ahead of the control plane; below 0: behind'), at: Timestamp }),
  ),
  tenantKeyTrusted: event(
    'chrysalis.agent-gateway.tenant-key.trusted.v1',
    "A tenant administrator's public key is trusted",
    z.object({ tenant: Name, kid: Id, publicKeyJwk: z.record(z.string(), z.unknown()) }),
  ),
  grantRegistered: event(
    'chrysalis.agent-gateway.grant.registered.v1',
    'A grant was verified and may be used',
    z.object({ grantId: Id, tenant: Name, claims: GrantClaims, jws: z.string() }),
  ),
  grantUsed: event(
    'chrysalis.agent-gateway.grant.used.v1',
    'One use of a grant',
    z.object({ grantId: Id, vmId: Id, use: Positive, taskKey: z.string(), at: Timestamp }),
  ),
  grantRevoked: event(
    'chrysalis.agent-gateway.grant.revoked.v1',
    'A grant may not be used any more',
    z.object({ grantId: Id, reason: z.string() }),
  ),
  vmObserved: event(
    'chrysalis.agent-gateway.vm.observed.v1',
    'The host that has a VM saw it do something else than before; what was wanted of it is not touched',
    z.object({ vmId: Id, hostId: Name, epoch: Positive, observed: Observed }),
  ),
  consoleOpened: event(
    'chrysalis.agent-gateway.console.opened.v1',
    "Somebody opened a VM's console; who is the event's actor. What is read and typed is nowhere",
    z.object({
      vmId: Id,
      hostId: Name,
      session: Id,
      writer: z.boolean().describe('may type'),
      tookFrom: Id.optional().describe('the session that was the writer, and reads on'),
    }),
  ),
  consoleClosed: event(
    'chrysalis.agent-gateway.console.closed.v1',
    'A console was closed, and why; with how much went each way, and nothing of it',
    z.object({ vmId: Id, hostId: Name, session: Id, code: z.string(), readBytes: Count, typedBytes: Count }),
  ),
  taskReported: taskReported('agent-gateway'),
  taskBid: taskBid('agent-gateway'),
  taskHeartbeat: taskHeartbeat('agent-gateway'),
} as const;
export type AgentGatewayEvent = EventsOf<typeof agentGatewayEvents>;
