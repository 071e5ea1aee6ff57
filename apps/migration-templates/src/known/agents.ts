import { agentGatewayEvents as events, eventsTopic } from '@chrysalis/contracts';
import { onEvent, type Consumer, type EventContext } from '@chrysalis/service-kit';

/** Whether hosts' agents are connected. Lost is not dead, but what has to be done there would wait. */
export const knownAgentsConsumer: Consumer = {
  name: 'known-agents',
  topics: [eventsTopic('agent-gateway')],
  on: [
    onEvent(events.hostAgentEnrolled, ({ hostId }, ctx) => note(ctx, hostId, null)),
    onEvent(events.hostAgentLost, ({ hostId, reason }, ctx) => note(ctx, hostId, reason)),
  ],
};

const note = async ({ event, tx, store }: EventContext, hostId: string, away: string | null): Promise<void> => {
  await tx.query(
    `insert into ${store.schema}.known_agents as a (host_id, version, away) values ($1, $2, $3)
     on conflict (host_id) do update set version = excluded.version, away = excluded.away where a.version < excluded.version`,
    [hostId, event.streamversion, away],
  );
};
