import {
  consumerText,
  eventsTopic,
  resourceAllocationEvents as events,
  type Amounts,
  type HostFacts,
  type HostState,
  type ResourceAllocationEvent,
} from '@chrysalis/contracts';
import type { KnownHost } from '@chrysalis/migration-templates-core';
import { free, nothing, plus } from '@chrysalis/placement';
import { onMatching, type Consumer, type EventContext } from '@chrysalis/service-kit';
import type pg from 'pg';

type HostDoc = Readonly<{ facts?: HostFacts; state: HostState; holds: Readonly<Record<string, Amounts>> }>;
type HostEvent = Exclude<ResourceAllocationEvent, { type: 'chrysalis.resource-allocation.task.reported.v1' }>;

/** A host's stream folded to what a search for targets needs. Pure. */
export const foldHost = (host: HostDoc, e: HostEvent): HostDoc => {
  const without = (consumer: string): Record<string, Amounts> =>
    Object.fromEntries(Object.entries(host.holds).filter(([c]) => c !== consumer));
  switch (e.type) {
    case events.hostRegistered.type:
    case events.hostFactsChanged.type:
      return { ...host, facts: e.data.facts };
    case events.hostStateChanged.type:
      return { ...host, state: e.data.to };
    case events.allocationHeld.type:
      return { ...host, holds: { ...host.holds, [consumerText(e.data.consumer)]: e.data.amounts } };
    case events.allocationReleased.type:
      return { ...host, holds: without(consumerText(e.data.consumer)) };
    case events.allocationSwapped.type:
      return { ...host, holds: { ...without(`move:${e.data.moveId}`), [`vm:${e.data.vmId}`]: e.data.amounts } };
    default:
      return host;
  }
};

const apply = async ({ event, tx, store }: EventContext): Promise<void> => {
  const version = Number(event.streamversion);
  const hostId = event.subject.slice('host-'.length);
  const { rows } = await tx.query<{ host: HostDoc; version: number }>(
    `select host, version from ${store.schema}.known_hosts where host_id = $1 for update`,
    [hostId],
  );
  if (rows[0] && rows[0].version >= version) return;
  const next = foldHost(rows[0]?.host ?? { state: 'enabled', holds: {} }, { type: event.type, data: event.data } as HostEvent);
  await tx.query(
    `insert into ${store.schema}.known_hosts (host_id, version, host) values ($1, $2, $3)
     on conflict (host_id) do update set version = excluded.version, host = excluded.host`,
    [hostId, version, JSON.stringify(next)],
  );
};

export const knownHostsConsumer: Consumer = {
  name: 'known-hosts',
  topics: [eventsTopic('resource-allocation')],
  on: [
    onMatching(
      (type) => /^chrysalis\.resource-allocation\.(host|allocation)\./.test(type),
      (_, ctx) => apply(ctx),
    ),
  ],
};

/** Every host by name, with what is free on it by the one function that says so. */
export const knownHosts = async (q: pg.Pool | pg.PoolClient, schema: string): Promise<KnownHost[]> => {
  const { rows } = await q.query<{ host_id: string; version: number; host: HostDoc; away: string | null }>(
    `select host_id, h.version, host, away from ${schema}.known_hosts h left join ${schema}.known_agents using (host_id) order by host_id`,
  );
  return rows.flatMap(({ host_id, version, away, host: { facts, state, holds } }) => {
    if (!facts) return [];
    const left = free(facts, Object.values(holds).reduce(plus, nothing));
    return [{ hostId: host_id, facts, state, generation: version, free: left, ...(away === null ? {} : { away }) }];
  });
};
