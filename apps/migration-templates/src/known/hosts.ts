import {
  consumerText,
  resourceAllocationEvents as events,
  type Amounts,
  type Consumer as Holder,
  type HostFacts,
  type HostState,
} from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import type { KnownHost } from '@chrysalis/migration-templates-core';
import { hostView, initialHost, moveConsumer, vmConsumer, type Hold, type Host, type HostEvent } from '@chrysalis/resource-allocation-core';
import { unreachable } from '@chrysalis/kernel';
import { Consumer, OnEvent, type EventContext } from '@chrysalis/service-kit';
import type pg from 'pg';
import { knownPools } from './pools.ts';

const { hostRegistered, hostFactsChanged, hostStateChanged, allocationHeld, allocationReleased, allocationSwapped } = events;

/** A host as its row keeps it; who holds there has rows of their own. */
type HostDoc = Readonly<{ facts?: HostFacts; state: HostState }>;
/** Rows of before have the amounts alone. */
type HoldDoc = Hold | Amounts;
export type HostRow = HostDoc & { readonly holds: Readonly<Record<string, HoldDoc>> };

export const hostOf = ({ facts, state, holds }: HostRow): Host =>
  facts === undefined
    ? initialHost
    : { status: 'known', facts, state, holds: new Map(Object.entries(holds).map(([text, hold]) => [text, holdOf(text, hold)])) };

/** Whose VM a move of before was for is not told any more: what it holds counts all the same, and its end needs its id alone. */
const holdOf = (text: string, hold: HoldDoc): Hold => {
  if ('amounts' in hold) return hold;
  const [kind, id] = [text.slice(0, text.indexOf(':')) as Holder['kind'], text.slice(text.indexOf(':') + 1)];
  return { consumer: { kind, id }, vmId: kind === 'vm' ? id : '', amounts: hold };
};

/** What an event changes in the rows: the host's own, and of holds those that go (`undefined`) and those that are as told. */
type Changed = { readonly host?: HostDoc; readonly holds: Readonly<Record<string, Hold | undefined>> };
export const changedBy = (before: HostDoc, e: HostEvent): Changed => {
  switch (e.type) {
    case hostRegistered.type:
      return { host: { facts: e.data.facts, state: 'enabled' }, holds: {} };
    case hostFactsChanged.type:
      return { host: { ...before, facts: e.data.facts }, holds: {} };
    case hostStateChanged.type:
      return { host: { ...before, state: e.data.to }, holds: {} };
    case allocationHeld.type: {
      const { consumer, vmId, amounts } = e.data;
      return { holds: { [consumerText(consumer)]: { consumer, vmId, amounts } } };
    }
    case allocationReleased.type:
      return { holds: { [consumerText(e.data.consumer)]: undefined } };
    case allocationSwapped.type: {
      const { moveId, vmId, amounts } = e.data;
      const consumer = vmConsumer(vmId);
      return { holds: { [consumerText(moveConsumer(moveId))]: undefined, [consumerText(consumer)]: { consumer, vmId, amounts } } };
    }
    default:
      return unreachable(e);
  }
};

const apply = async (told: HostEvent, { event, tx, store: { schema } }: EventContext): Promise<void> => {
  const version = Number(event.streamversion);
  const hostId = event.subject.slice('host-'.length);
  const { rows } = await tx.query<{ host: HostDoc; version: number }>(
    `select host, version from ${schema}.known_hosts where host_id = $1 for update`,
    [hostId],
  );
  if (rows[0] && rows[0].version >= version) return;
  const before = rows[0]?.host ?? { state: 'enabled' };
  const { host = before, holds } = changedBy(before, told);
  await tx.query(
    `insert into ${schema}.known_hosts (host_id, version, host) values ($1, $2, $3)
     on conflict (host_id) do update set version = excluded.version, host = excluded.host`,
    [hostId, version, JSON.stringify(host)],
  );
  for (const [consumer, hold] of Object.entries(holds))
    await (hold
      ? tx.query(
          `insert into ${schema}.known_holds (host_id, consumer, hold) values ($1, $2, $3)
           on conflict (host_id, consumer) do update set hold = excluded.hold`,
          [hostId, consumer, JSON.stringify(hold)],
        )
      : tx.query(`delete from ${schema}.known_holds where host_id = $1 and consumer = $2`, [hostId, consumer]));
};

@Consumer('known-hosts', { view: true })
export class KnownHosts {
  /** A host's stream: what it is, and its allocations. */
  @OnEvent(hostRegistered, hostFactsChanged, hostStateChanged, allocationHeld, allocationReleased, allocationSwapped)
  async changed(data: HostEvent['data'], ctx: EventContext): Promise<void> {
    await apply({ type: ctx.event.type, data } as HostEvent, ctx);
  }
}

/** Every host by name, as the engine sees it. */
export const knownHosts = async (q: Queryable, schema: string): Promise<KnownHost[]> => {
  const { rows } = await q.query<{ version: number; host: HostRow; away: string | null }>(
    `select h.version, away, host || jsonb_build_object('holds', coalesce(holds, '{}')) as host
     from ${schema}.known_hosts h left join ${schema}.known_agents using (host_id)
     left join (select host_id, jsonb_object_agg(consumer, hold) as holds from ${schema}.known_holds group by host_id) of_host using (host_id)
     order by host_id`,
  );
  const pools = await knownPools(q, schema);
  return rows.flatMap(({ version, away, host: doc }) => {
    const host = hostOf(doc);
    if (host.status === 'unknown') return [];
    return [{ ...hostView(host), pools, generation: version, ...(away === null ? {} : { away }) }];
  });
};

/** Of these hosts, those whose VMs' CPUs are offlined where a type lacks them (`offlinesCpus`). */
export const offliningHosts = async (q: Queryable, schema: string, hostIds: readonly string[]): Promise<ReadonlySet<string>> => {
  const { rows } = await q.query<{ id: string }>(
    `select id from unnest($1::text[]) id left join ${schema}.known_hosts on host_id = id
     where coalesce(host -> 'facts' ->> 'cpuHotUnplug', 'false') <> 'true'`,
    [[...new Set(hostIds)]],
  );
  return new Set(rows.map((r) => r.id));
};

/** In which rack each host is, as text that no other rack has. */
export const racksOf = async (q: Queryable, schema: string): Promise<ReadonlyMap<string, string>> => {
  const { rows } = await q.query<{ id: string; rack: string }>(
    `select host_id as id, concat_ws('/', p ->> 'site', p ->> 'room', p ->> 'rack') as rack
     from ${schema}.known_hosts, lateral (select host #> '{facts,place}' as p) at where p is not null`,
  );
  return new Map(rows.map((r) => [r.id, r.rack]));
};

/** Of one host: what it may be used for, and who holds on it, VMs and moves, however many. `version` is that of its stream. */
export type HostStanding = Readonly<{ version: number; state: HostState; consumers: readonly string[] }>;
export const hostStanding = async (q: pg.PoolClient, schema: string, hostId: string): Promise<HostStanding | undefined> =>
  (
    await q.query<HostStanding>(
      `select version, host ->> 'state' as state,
         array(select consumer from ${schema}.known_holds where host_id = $1 order by consumer collate "C") as consumers
       from ${schema}.known_hosts where host_id = $1`,
      [hostId],
    )
  ).rows[0];
