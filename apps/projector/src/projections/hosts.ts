import { agentGatewayEvents as g, consumerText, resourceAllocationEvents as e, type Consumer } from '@chrysalis/contracts';
import { merge, on, type Change, type Document, type Handler } from '../projection.ts';

/** What a host is and may be used for comes from its own stream; whether its agent is there, from the gateway's. The view `hosts` joins them. */
export const hosts: readonly Handler[] = [
  on(e.hostRegistered, ({ facts }) => [merge('host_inventory', facts.hostId, { hostId: facts.hostId, state: 'enabled', facts })]),
  on(e.hostFactsChanged, ({ facts }) => [merge('host_inventory', facts.hostId, { facts })]),
  on(e.hostStateChanged, (d) => [merge('host_inventory', d.hostId, { state: d.to, reason: d.reason })]),
  on(g.hostAgentEnrolled, (d, { at }) => [
    merge('host_agents', d.hostId, {
      hostId: d.hostId,
      connected: true,
      agentVersion: d.agentVersion,
      sessionId: d.sessionId,
      key: d.agentKey,
      since: at,
      reason: undefined,
    }),
  ]),
  // Kept when it stops asking: an operator is to find the second agent. It says when it was told last.
  on(g.hostAgentRefused, ({ hostId, code, message, address, agentKey, at }) => [
    merge('host_agents', hostId, { refused: { code, message, address, ...(agentKey ? { key: agentKey } : {}), at } }),
  ]),
  on(g.hostAgentReleased, ({ hostId, reason }, { at }) => [
    merge('host_agents', hostId, { connected: false, since: at, key: undefined, refused: undefined, reason: `released: ${reason}` }),
  ]),
  on(g.hostClockMeasured, ({ hostId, skewMs, at }) => [merge('host_agents', hostId, { clock: { skewMs, at } })]),
  on(g.hostAgentLost, (d, { at }) => [
    // The session that ended may be an older one than the session there is now.
    merge('host_agents', d.hostId, (before) =>
      before['sessionId'] === d.sessionId ? { connected: false, since: at, reason: d.reason } : {},
    ),
  ]),
];

const hold = (hostId: string, consumer: Consumer, members: Document): Change =>
  merge('allocations', `${hostId}/${consumerText(consumer)}`, { hostId, consumer, ...members });

/** One row for each consumer on each host, kept when it ends: the ledger shows who held what, and an older event never brings a hold back. */
export const allocations: readonly Handler[] = [
  on(e.allocationHeld, ({ hostId, consumer, vmId, amounts }, { at }) => [
    hold(hostId, consumer, { vmId, ...amounts, state: 'held', since: at, reason: undefined }),
  ]),
  on(e.allocationReleased, ({ hostId, consumer, vmId, amounts, reason }, { at }) => [
    hold(hostId, consumer, { vmId, ...amounts, state: 'released', since: at, reason }),
  ]),
  on(e.allocationSwapped, ({ hostId, moveId, vmId, amounts }, { at }) => [
    hold(hostId, { kind: 'move', id: moveId }, { vmId, ...amounts, state: 'released', since: at, reason: "became the VM's" }),
    hold(hostId, { kind: 'vm', id: vmId }, { vmId, ...amounts, state: 'held', since: at, reason: undefined }),
  ]),
];
