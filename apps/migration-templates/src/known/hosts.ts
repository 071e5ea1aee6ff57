import {
  resourceAllocationEvents as events,
  type Amounts,
  type Consumer as Holder,
  type HostFacts,
  type HostState,
} from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { KnownHost } from '@chrysalis/migration-templates-core';
import { evolveHost, hostView, initialHost, type Hold, type Host, type HostEvent } from '@chrysalis/resource-allocation-core';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { knownPools } from './pools.ts';

const { hostRegistered, hostFactsChanged, hostStateChanged, allocationHeld, allocationReleased, allocationSwapped } = events;

/** A host's state as its row keeps it. Rows of before have the amounts alone of each hold, by the text of its consumer. */
export type HostDoc = Readonly<{ facts?: HostFacts; state: HostState; holds: Readonly<Record<string, Hold | Amounts>> }>;

export const docOf = (host: Host): HostDoc =>
  host.status === 'unknown'
    ? { state: 'enabled', holds: {} }
    : { facts: host.facts, state: host.state, holds: Object.fromEntries(host.holds) };

export const hostOf = ({ facts, state, holds }: HostDoc): Host =>
  facts === undefined
    ? initialHost
    : { status: 'known', facts, state, holds: new Map(Object.entries(holds).map(([text, hold]) => [text, holdOf(text, hold)])) };

/** Whose VM a move of before was for is not told any more: what it holds counts all the same, and its end needs its id alone. */
const holdOf = (text: string, hold: Hold | Amounts): Hold => {
  if ('amounts' in hold) return hold;
  const [kind, id] = [text.slice(0, text.indexOf(':')) as Holder['kind'], text.slice(text.indexOf(':') + 1)];
  return { consumer: { kind, id }, vmId: kind === 'vm' ? id : '', amounts: hold };
};

const apply = async (told: HostEvent, { event, tx, store }: EventContext): Promise<void> => {
  const version = Number(event.streamversion);
  const hostId = event.subject.slice('host-'.length);
  const { rows } = await tx.query<{ host: HostDoc; version: number }>(
    `select host, version from ${store.schema}.known_hosts where host_id = $1 for update`,
    [hostId],
  );
  if (rows[0] && rows[0].version >= version) return;
  const next = evolveHost(rows[0] ? hostOf(rows[0].host) : initialHost, told);
  await tx.query(
    `insert into ${store.schema}.known_hosts (host_id, version, host) values ($1, $2, $3)
     on conflict (host_id) do update set version = excluded.version, host = excluded.host`,
    [hostId, version, JSON.stringify(docOf(next))],
  );
};

@Consumer('known-hosts')
export class KnownHosts {
  /** A host's stream: what it is, and its allocations. */
  @OnEvent(hostRegistered, hostFactsChanged, hostStateChanged, allocationHeld, allocationReleased, allocationSwapped)
  async changed(data: HostEvent['data'], ctx: EventContext): Promise<void> {
    await apply({ type: ctx.event.type, data } as HostEvent, ctx);
  }
}

/** Every host by name, as the engine sees it. */
export const knownHosts = async (q: Queryable, schema: string): Promise<KnownHost[]> => {
  const { rows } = await q.query<{ version: number; host: HostDoc; away: string | null }>(
    `select h.version, host, away from ${schema}.known_hosts h left join ${schema}.known_agents using (host_id) order by host_id`,
  );
  const pools = await knownPools(q, schema);
  return rows.flatMap(({ version, away, host: doc }) => {
    const host = hostOf(doc);
    if (host.status === 'unknown') return [];
    return [{ ...hostView(host), pools, generation: version, ...(away === null ? {} : { away }) }];
  });
};

/** Of one host: what it may be used for, and who holds on it, VMs and moves, however many. `version` is that of its stream. */
export type HostStanding = Readonly<{ version: number; state: HostState; consumers: readonly string[] }>;
export const hostStanding = async (q: pg.PoolClient, schema: string, hostId: string): Promise<HostStanding | undefined> =>
  (
    await q.query<HostStanding>(
      `select version, host ->> 'state' as state, array(select jsonb_object_keys(host -> 'holds') order by 1) as consumers
       from ${schema}.known_hosts where host_id = $1`,
      [hostId],
    )
  ).rows[0];
