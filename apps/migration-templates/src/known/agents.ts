import { agentGatewayEvents as events, type DataOf } from '@chrysalis/contracts';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';

/** Whether hosts' agents are connected. Lost is not dead, but what has to be done there would wait. */
@Consumer('known-agents', { view: true })
export class KnownAgents {
  @OnEvent(events.hostAgentEnrolled)
  enrolled({ hostId }: DataOf<typeof events.hostAgentEnrolled>, ctx: EventContext): Promise<void> {
    return note(ctx, hostId, null);
  }

  @OnEvent(events.hostAgentLost)
  lost({ hostId, reason }: DataOf<typeof events.hostAgentLost>, ctx: EventContext): Promise<void> {
    return note(ctx, hostId, reason);
  }
}

const note = async ({ event, tx, store }: EventContext, hostId: string, away: string | null): Promise<void> => {
  await tx.query(
    `insert into ${store.schema}.known_agents as a (host_id, version, away) values ($1, $2, $3)
     on conflict (host_id) do update set version = excluded.version, away = excluded.away where a.version < excluded.version`,
    [hostId, event.streamversion, away],
  );
};
