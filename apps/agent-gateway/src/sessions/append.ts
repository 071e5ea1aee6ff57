import type { ServiceContext } from '@chrysalis/service-kit';
import type pg from 'pg';

export const appendOf = (
  service: ServiceContext,
  tx: pg.PoolClient,
  hostId: string,
  tenant: string,
  event: { type: string; data: unknown },
): ReturnType<ServiceContext['store']['append']> => {
  const meta = { at: service.clock(), correlationId: service.newId(), actor: `host:${hostId}`, tenant };
  return service.store.append({ stream: `host-agent-${hostId}`, expected: 'any', events: [{ id: service.newId(), ...event, meta }] }, tx);
};
