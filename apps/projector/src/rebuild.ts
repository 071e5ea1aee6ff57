import { contexts, type Context } from '@chrysalis/contracts';
import { EventStore, inTransaction, migrate, origin, type Position, type StoredEvent } from '@chrysalis/event-store';
import { upcast } from '@chrysalis/service-kit';
import type pg from 'pg';
import { applyToRows, REBUILD_LOCK } from './apply.ts';
import { hashes } from './hash.ts';
import { migrations } from './migrations.ts';
import { tables } from './projection.ts';
import { fromStored, type Recorded } from './recorded.ts';
import { appendFeed, lockFeed, READ_CHANNEL } from './sql/feed.ts';

export const schemaOf = (context: Context): string => context.replaceAll('-', '_');
const SCRATCH = 'read_rebuild';

export type RebuildReport = {
  readonly events: number;
  readonly changed: readonly string[];
  readonly hashes: Readonly<Record<string, string>>;
};

type Options = {
  readonly pool: pg.Pool;
  readonly databaseUrl: string;
  readonly schema: string;
  readonly owners?: readonly Context[];
  readonly batch?: number;
};

/**
 * Makes the read models again from the owners' logs, beside the live ones, and puts them in their place. Readers and the live projector
 * go on meanwhile; only the last step holds the projector back. The feed keeps its positions and gets what it lacks. Answers which
 * models came out differently: none, if all is well.
 */
export const rebuild = async ({ pool, databaseUrl, schema, owners = contexts, batch = 1000 }: Options): Promise<RebuildReport> => {
  await pool.query(`drop schema if exists ${SCRATCH} cascade`);
  await migrate(databaseUrl, SCRATCH, migrations);
  const logs = owners.map((context) => new Log(new EventStore(pool, schemaOf(context), { upcast })));
  let events = 0;
  for (const log of logs)
    for (let page = await log.next(batch); page.length > 0; page = await log.next(batch)) {
      await inTransaction(pool, (tx) => applyAll(tx, SCRATCH, page));
      events += page.length;
    }
  const compared = await inTransaction(pool, async (tx) => {
    await tx.query(`select pg_advisory_xact_lock(${REBUILD_LOCK})`);
    const before = await hashes(tx, schema);
    for (const log of logs) {
      const rest = await log.rest(tx);
      await applyAll(tx, SCRATCH, rest);
      events += rest.length;
    }
    await putInPlace(tx, schema);
    const after = await hashes(tx, schema);
    return { hashes: after, changed: Object.keys(after).filter((t) => after[t] !== before[t]) };
  });
  await pool.query(`drop schema ${SCRATCH} cascade`);
  return { events, ...compared };
};

class Log {
  #position: Position = origin;
  constructor(private readonly store: EventStore) {}

  async next(limit: number): Promise<readonly Recorded[]> {
    const page = await this.store.readAll(this.#position, limit);
    const last = page.at(-1);
    if (last) this.#position = { transactionId: last.transactionId, position: last.position };
    return page.map(fromStored);
  }

  /**
   * With the live projector held back: everything after the place we are at that can be seen, also what the ordered read still keeps
   * back because an older transaction is open. The bus may have delivered such an event before, and would not do so again. A stream's
   * events commit in the order of their versions, so what can be seen of a stream has no gap.
   */
  async rest(tx: pg.ClientBase): Promise<readonly Recorded[]> {
    const { rows } = await tx.query<Pick<StoredEvent, 'id' | 'type' | 'version' | 'data' | 'meta'> & { stream_id: string }>(
      `select id, type, stream_id, version, data, meta from ${this.store.schema}.events
       where (transaction_id, global_position) > ($1::xid8, $2::bigint) order by stream_id, version`,
      [this.#position.transactionId, this.#position.position],
    );
    return rows.map(({ stream_id, ...e }) => fromStored({ ...e, stream: stream_id }));
  }
}

/** The order of two streams never matters; that of one stream is kept by both ways of reading. */
const applyAll = async (tx: pg.ClientBase, schema: string, events: readonly Recorded[]): Promise<void> => {
  if (events.length === 0) return;
  await applyToRows(tx, schema, events);
  await lockFeed(tx);
  await appendFeed(tx, schema, events);
};

/** What is written of a row; the columns to filter by follow from `data`. */
const ROW = 'id, version, tenant, created_at, updated_at, data';

const putInPlace = async (tx: pg.ClientBase, schema: string): Promise<void> => {
  for (const table of tables) {
    await tx.query(`delete from ${schema}.${table}`);
    await tx.query(`insert into ${schema}.${table} (${ROW}) select ${ROW} from ${SCRATCH}.${table}`);
  }
  const columns = 'event_id, type, stream, version, at, tenant, actor, correlation_id, causation_id, data';
  await lockFeed(tx);
  await tx.query(
    `insert into ${schema}.feed (${columns}) select ${columns} from ${SCRATCH}.feed order by at, position on conflict (event_id) do nothing`,
  );
  await tx.query(`select pg_notify('${READ_CHANNEL}', '')`);
};
