import { agentGatewayEvents as events, type DataOf } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import { decideHost } from './decide-host.ts';
import { sessionLost, sessionOpened } from './sql/connections.ts';
import { lockHosts } from './sql/hosts.ts';

/** What host agents tell becomes inventory. Losing a session changes no state: lost is not dead, and an operator or a fence decides. */
@Consumer('host-agents')
export class HostAgents {
  @OnEvent(events.hostAgentEnrolled)
  async enrolled({ hostId, sessionId, facts }: DataOf<typeof events.hostAgentEnrolled>, ctx: EventContext): Promise<void> {
    const { schema } = ctx.store;
    if (facts.hostId !== hostId) throw new Error(`the agent of ${hostId} told the facts of ${facts.hostId}`);
    await lockHosts(ctx.tx, schema, [hostId]);
    await decideHost(ctx, hostId, { type: 'report-facts', facts });
    await sessionOpened(ctx.tx, schema, hostId, sessionId, ctx.now);
  }

  @OnEvent(events.hostAgentLost)
  async lost({ hostId, sessionId, reason }: DataOf<typeof events.hostAgentLost>, ctx: EventContext): Promise<void> {
    await sessionLost(ctx.tx, ctx.store.schema, { host: hostId, session: sessionId, reason, at: ctx.now });
  }
}
