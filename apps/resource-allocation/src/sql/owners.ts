import type { Queryable } from '@chrysalis/event-store';

/** An end once told stays, whatever comes late. */
export const noteOwner = async (tx: Queryable, schema: string, consumer: string, ended: boolean, tenant?: string): Promise<void> => {
  await tx.query(
    `insert into ${schema}.owners as o (consumer, ended, tenant) values ($1, $2, $3)
     on conflict (consumer) do update set ended = o.ended or excluded.ended, tenant = coalesce(o.tenant, excluded.tenant)`,
    [consumer, ended, tenant ?? null],
  );
};

/** A move that had ended goes on. */
export const ownerAgain = async (tx: Queryable, schema: string, consumer: string): Promise<void> => {
  await tx.query(`update ${schema}.owners set ended = false where consumer = $1`, [consumer]);
};

export type Orphan = {
  readonly consumer: string;
  readonly host: string;
  readonly vm: string;
  readonly vcpu: string;
  readonly memory_mib: string;
  readonly disk_mib: string;
  readonly unknown: boolean;
  readonly since: Date;
  readonly age_ms: string;
};

/** Holds older than `minAgeMs` whose owner has ended or is unknown, the oldest first. */
export const orphans = async (db: Queryable, schema: string, minAgeMs: number, limit: number): Promise<Orphan[]> =>
  (
    await db.query<Orphan>(
      `select l.consumer, l.host, l.vm, l.vcpu, l.memory_mib, l.disk_mib, o.consumer is null as unknown, l.since,
         floor(extract(epoch from clock_timestamp() - l.since) * 1000)::bigint as age_ms
       from ${schema}.ledger l left join ${schema}.owners o using (consumer)
       where coalesce(o.ended, true) and l.since <= clock_timestamp() - make_interval(secs => $1::float8 / 1000)
       order by l.since, l.consumer limit $2`,
      [minAgeMs, limit],
    )
  ).rows;

export const countHolds = async (db: Queryable, schema: string): Promise<number> =>
  Number((await db.query<{ n: string }>(`select count(*) as n from ${schema}.ledger`)).rows[0]!.n);
