import { agentGatewayEvents as events, type DataOf, type HostPool, type PoolSeen } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { decideHost } from './decide-host.ts';
import { decidePool } from './pools/decide-pool.ts';
import { sessionLost, sessionOpened } from './sql/connections.ts';
import { hostNamed, lockHosts } from './sql/hosts.ts';

/** What host agents tell becomes inventory. Losing a session changes no state: lost is not dead, and an operator or a fence decides. */
@Consumer('host-agents')
export class HostAgents {
  @OnEvent(events.hostAgentEnrolled)
  async enrolled({ hostId, sessionId, facts, pools }: DataOf<typeof events.hostAgentEnrolled>, ctx: EventContext): Promise<void> {
    const { schema } = ctx.store;
    if (facts.hostId !== hostId) throw new Error(`the agent of ${hostId} told the facts of ${facts.hostId}`);
    await lockHosts(ctx.tx, schema, [hostId]);
    await decideHost(ctx, hostId, { type: 'report-facts', facts });
    await sessionOpened(ctx.tx, schema, hostId, sessionId, ctx.now);
    await reportRooms(ctx, hostId, facts.pools ?? [], pools ?? []);
  }

  /** Of pools that the host has by its facts: what else it says is nobody's. */
  @OnEvent(events.hostPoolsObserved)
  async observed({ hostId, pools }: DataOf<typeof events.hostPoolsObserved>, ctx: EventContext): Promise<void> {
    const host = await hostNamed(ctx.tx, ctx.store.schema, hostId);
    await reportRooms(ctx, hostId, host?.facts.pools ?? [], pools);
  }

  @OnEvent(events.hostAgentLost)
  async lost({ hostId, sessionId, reason }: DataOf<typeof events.hostAgentLost>, ctx: EventContext): Promise<void> {
    await sessionLost(ctx.tx, ctx.store.schema, { host: hostId, session: sessionId, reason, at: ctx.now });
  }
}

/** In the order of ids: two hosts that share pools never wait for each other in a ring. */
const reportRooms = async (ctx: EventContext, hostId: string, has: readonly HostPool[], seen: readonly PoolSeen[]): Promise<void> => {
  for (const { poolId, name, kind } of [...has].sort((a, b) => (a.poolId < b.poolId ? -1 : 1))) {
    const found = seen.find((s) => s.poolId === poolId);
    if (!found) continue;
    const room = { usedMiB: found.usedMiB, freeMiB: found.freeMiB };
    const decided = await decidePool(ctx, { type: 'report-room', poolId, name, kind, hostId, room });
    if (!decided.ok) throw new Error(`${hostId} cannot tell of ${poolId}: ${decided.rejection.code}`);
  }
};
