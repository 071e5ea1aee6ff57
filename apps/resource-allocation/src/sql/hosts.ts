import type { HostFacts, HostState } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';
import { capacityOf } from '@chrysalis/placement';

export type HostRow = {
  readonly host: string;
  readonly facts: HostFacts;
  readonly state: HostState;
  readonly version: number;
  readonly connected: boolean;
  readonly vcpu_held: string;
  readonly memory_mib_held: string;
  readonly disk_mib_held: string;
};

/**
 * In the order of names, so that two who lock the same hosts never wait for each other in a ring. Unknown hosts are passed over. Answers the
 * version of each, which nobody else changes from here on.
 */
export const lockHosts = async (tx: Queryable, schema: string, hosts: readonly string[]): Promise<ReadonlyMap<string, number>> => {
  const { rows } = await tx.query<{ host: string; version: number }>({
    name: `${schema}.lock_hosts`,
    text: `select host, version from ${schema}.hosts where host = any($1) order by host for update`,
    values: [hosts],
  });
  return new Map(rows.map((r) => [r.host, r.version]));
};

/** A host as registered or as it reports now. Capacity may fall below what is held; what is held stays. */
export const writeFacts = async (tx: Queryable, schema: string, facts: HostFacts): Promise<void> => {
  const { vcpu, memoryMiB, diskMiB } = capacityOf(facts);
  await tx.query(
    `insert into ${schema}.hosts as h (host, facts, state, version,
       vcpu_capacity, memory_mib_capacity, disk_mib_capacity, vcpu_ceiling, memory_mib_ceiling, disk_mib_ceiling)
     values ($1, $2, 'enabled', 0, $3, $4, $5, $3, $4, $5)
     on conflict (host) do update set facts = excluded.facts,
       vcpu_capacity = $3, vcpu_ceiling = greatest($3, h.vcpu_held),
       memory_mib_capacity = $4, memory_mib_ceiling = greatest($4, h.memory_mib_held),
       disk_mib_capacity = $5, disk_mib_ceiling = greatest($5, h.disk_mib_held)`,
    [facts.hostId, JSON.stringify(facts), vcpu, memoryMiB, diskMiB],
  );
};

export const writeState = async (tx: Queryable, schema: string, host: string, state: HostState): Promise<void> => {
  await tx.query(`update ${schema}.hosts set state = $2 where host = $1`, [host, state]);
};

export const writeVersion = async (tx: Queryable, schema: string, host: string, version: number): Promise<void> => {
  await tx.query(`update ${schema}.hosts set version = $2 where host = $1`, [host, version]);
};

export const writeVersions = async (tx: Queryable, schema: string, versions: ReadonlyMap<string, number>): Promise<void> => {
  await tx.query(
    `update ${schema}.hosts h set version = v.version from unnest($1::text[], $2::int[]) as v (host, version) where h.host = v.host`,
    [[...versions.keys()], [...versions.values()]],
  );
};

const select = (schema: string): string => `
  select h.host, h.facts, h.state, h.version, coalesce(c.connected, false) as connected, h.vcpu_held, h.memory_mib_held, h.disk_mib_held
  from ${schema}.hosts h left join ${schema}.host_connections c using (host)`;

export const hostNamed = async (db: Queryable, schema: string, host: string): Promise<HostRow | undefined> =>
  (await db.query<HostRow>(`${select(schema)} where h.host = $1`, [host])).rows[0];

/** By name, for a refusal that says what there is. */
export const hostNames = async (db: Queryable, schema: string): Promise<string[]> =>
  (await db.query<{ host: string }>(`select host from ${schema}.hosts order by host limit 100`)).rows.map((r) => r.host);

/** `away`: why its agent is in no session; null while it is in one. */
export type HostVersion = { readonly host: string; readonly version: number; readonly away: string | null };
export const hostVersions = async (db: Queryable, schema: string): Promise<HostVersion[]> =>
  (
    await db.query<HostVersion>(
      `select host, version, case when connected then null else coalesce(reason, 'it has not enrolled') end as away
       from ${schema}.hosts left join ${schema}.host_connections using (host)`,
    )
  ).rows;
