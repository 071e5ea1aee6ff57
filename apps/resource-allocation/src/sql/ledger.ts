import type { Amounts } from '@chrysalis/contracts';
import type { Queryable } from '@chrysalis/event-store';

/** One at a time decides for a consumer, whichever hosts it looks at. Ends with the transaction. */
export const lockConsumers = async (tx: Queryable, schema: string, consumers: readonly string[]): Promise<void> => {
  for (const c of [...consumers].sort()) await tx.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [`${schema} ${c}`]);
};

export type Standing = { readonly host: string | null; readonly room: boolean; readonly released: boolean };
/** Where a consumer holds, whether it holds room in a pool, and whether this workflow released it after it gave out this token. */
export const standingOf = async (
  tx: Queryable,
  schema: string,
  { consumer, workflow, token }: { readonly consumer: string; readonly workflow: string; readonly token: number },
): Promise<Standing> =>
  (
    await tx.query<Standing>({
      name: `${schema}.standing_of`,
      text: `select (select host from ${schema}.ledger where consumer = $1) as host,
               exists (select from ${schema}.pool_holds where consumer = $1) as room,
               exists (select from ${schema}.released where consumer = $1 and workflow = $2 and token > $3) as released`,
      values: [consumer, workflow, token],
    })
  ).rows[0]!;

export const hostOf = async (tx: Queryable, schema: string, consumer: string): Promise<string | undefined> =>
  (await tx.query<{ host: string }>(`select host from ${schema}.ledger where consumer = $1`, [consumer])).rows[0]?.host;

type Held = { readonly consumer: string; readonly vm: string; readonly amounts: Amounts };
/** Of several at once: a host's sums are moved once for all that is held on it. */
export const holdAll = async (tx: Queryable, schema: string, held: readonly (Held & { readonly host: string })[]): Promise<void> => {
  const column = (of: keyof Amounts): number[] => held.map((h) => h.amounts[of]);
  await tx.query(
    `insert into ${schema}.ledger (consumer, host, vm, vcpu, memory_mib, disk_mib)
     select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])`,
    [held.map((h) => h.consumer), held.map((h) => h.host), held.map((h) => h.vm), column('vcpu'), column('memoryMiB'), column('diskMiB')],
  );
};

export const hold = async (tx: Queryable, schema: string, host: string, { consumer, vm, amounts }: Held): Promise<void> => {
  await tx.query(`insert into ${schema}.ledger (consumer, host, vm, vcpu, memory_mib, disk_mib) values ($1, $2, $3, $4, $5, $6)`, [
    consumer,
    host,
    vm,
    amounts.vcpu,
    amounts.memoryMiB,
    amounts.diskMiB,
  ]);
};

export const release = async (tx: Queryable, schema: string, host: string, consumer: string): Promise<void> => {
  await tx.query(`delete from ${schema}.ledger where consumer = $1 and host = $2`, [consumer, host]);
};

type Swapped = { readonly move: string; readonly vm: string; readonly amounts: Amounts };
/**
 * The move's row becomes the VM's. Where the VM has a row on this host, one statement empties the move's and sets the VM's, so that
 * the host's sum moves once, by the difference; then the empty row goes.
 */
export const swap = async (tx: Queryable, schema: string, host: string, { move, vm, amounts: a }: Swapped): Promise<void> => {
  const { rowCount } = await tx.query(
    `update ${schema}.ledger set
       vcpu = case consumer when $2 then $4 else 0 end,
       memory_mib = case consumer when $2 then $5 else 0 end,
       disk_mib = case consumer when $2 then $6 else 0 end
     where host = $1 and consumer in ($2, $3) and exists (select from ${schema}.ledger where consumer = $2 and host = $1)`,
    [host, vm, move, a.vcpu, a.memoryMiB, a.diskMiB],
  );
  if (rowCount) return release(tx, schema, host, move);
  await tx.query(`update ${schema}.ledger set consumer = $2 where consumer = $3 and host = $1`, [host, vm, move]);
};

/** The VMs that hold on a host, by id: `limit` of them at most. */
export const vmsOn = async (db: Queryable, schema: string, host: string, limit: number): Promise<string[]> =>
  (
    await db.query<{ vm: string }>(`select vm from ${schema}.ledger where host = $1 and consumer like 'vm:%' order by vm limit $2`, [
      host,
      limit,
    ])
  ).rows.map((r) => r.vm);

/** Who holds on a host, VMs and moves, by name. */
export const consumersOn = async (db: Queryable, schema: string, host: string): Promise<string[]> =>
  (await db.query<{ consumer: string }>(`select consumer from ${schema}.ledger where host = $1 order by consumer`, [host])).rows.map(
    (r) => r.consumer,
  );

/** The highest token with which a workflow released a consumer. */
export const noteRelease = async (tx: Queryable, schema: string, consumer: string, workflow: string, token: number): Promise<void> => {
  await tx.query(
    `insert into ${schema}.released as r (consumer, workflow, token) values ($1, $2, $3)
     on conflict (consumer, workflow) do update set token = greatest(r.token, excluded.token), at = now()`,
    [consumer, workflow, token],
  );
};

/** A placement that was sent before the release and comes later than this is one that no bus and no workflow keeps for so long. */
const RELEASES_KEPT = '7 days';

export const forgetReleases = async (db: Queryable, schema: string): Promise<number> =>
  (await db.query(`delete from ${schema}.released where at < now() - $1::interval`, [RELEASES_KEPT])).rowCount ?? 0;

export const releasedSince = async (tx: Queryable, schema: string, consumer: string, workflow: string, token: number): Promise<boolean> =>
  ((await tx.query(`select from ${schema}.released where consumer = $1 and workflow = $2 and token > $3`, [consumer, workflow, token]))
    .rowCount ?? 0) > 0;
