import { agentGatewayEvents, eventsTopic } from '@chrysalis/contracts';
import { onEvent, type Consumer } from '@chrysalis/service-kit';
import { decideHost } from './decide-host.ts';
import { sessionLost, sessionOpened } from './sql/connections.ts';
import { lockHosts } from './sql/hosts.ts';

/** What host agents tell becomes inventory. Losing a session changes no state: lost is not dead, and an operator or a fence decides. */
export const hostAgents: Consumer = {
  name: 'host-agents',
  topics: [eventsTopic('agent-gateway')],
  on: [
    onEvent(agentGatewayEvents.hostAgentEnrolled, async ({ hostId, sessionId, facts }, ctx) => {
      const { schema } = ctx.store;
      if (facts.hostId !== hostId) throw new Error(`the agent of ${hostId} told the facts of ${facts.hostId}`);
      await lockHosts(ctx.tx, schema, [hostId]);
      await decideHost(ctx, hostId, { type: 'report-facts', facts });
      await sessionOpened(ctx.tx, schema, hostId, sessionId, ctx.now);
    }),
    onEvent(agentGatewayEvents.hostAgentLost, async ({ hostId, sessionId, reason }, ctx) => {
      await sessionLost(ctx.tx, ctx.store.schema, { host: hostId, session: sessionId, reason, at: ctx.now });
    }),
  ],
};
