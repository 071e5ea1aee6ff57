import { origin, toEvent, type EventRow, type Position, type StoredEvent } from '@chrysalis/event-store';
import type pg from 'pg';
import { checkpointName, publish, type Lead } from './publisher.ts';
import type { RelayState } from './types.ts';

/** A row of `events`, from a query or from the replication stream, as readers are to see it. */
export const toStored = (row: EventRow, { options }: RelayState): StoredEvent => {
  const event = toEvent(row);
  return options.store.options.upcast?.(event) ?? event;
};

/**
 * Publishes from the checkpoint all that is committed by now, while a slot gathers what commits from now on. One snapshot: what it
 * does not show comes through the slot, so nothing is left out (see `allSeen`). Some come both ways, first here, so that the order
 * holds for who drops repetitions. Returns false if it was not finished.
 */
export const catchUp = async (state: RelayState, lead: Lead): Promise<boolean> => {
  const { store } = state.options;
  for (;;) {
    state.replay = false;
    if (!(await allSeen(state, lead))) return false;
    const saved = await store.loadCheckpoint(checkpointName);
    const outcome = await publishSnapshot(state, lead, saved ?? origin);
    if (outcome === 'lost') return false;
    if (outcome === 'replay') continue; // the checkpoint is at the beginning now
    if (!saved) return true;
    const { replay: _, ...detail } = saved.detail;
    // Else it was found meanwhile that the bus is new (again): all of it once more.
    if (await store.moveCheckpoint(checkpointName, saved, saved.detail, detail)) return true;
  }
};

/**
 * A commit is in PostgreSQL's log a moment before any snapshot shows it: until its process goes on, or a standby has answered. The slot
 * may begin, or be read, past such a commit. So whoever is open now has ended before the snapshot is taken; false if the lead is lost.
 */
const allSeen = async ({ options: { store } }: RelayState, lead: Lead): Promise<boolean> => {
  type Snapshot = { next: string; ended: boolean };
  const snapshot = async (before: string): Promise<Snapshot> => {
    const text = `select pg_snapshot_xmax(s)::text as next, pg_snapshot_xmin(s) >= $1::xid8 as ended from pg_current_snapshot() s`;
    return (await store.pool.query<Snapshot>(text, [before])).rows[0]!;
  };
  const { next } = await snapshot('0');
  while (!lead.lost()) {
    if ((await snapshot(next)).ended) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
};

const publishSnapshot = async (state: RelayState, lead: Lead, after: Position): Promise<'done' | 'lost' | 'replay'> => {
  const { store, batch = 500 } = state.options;
  const tx = await store.pool.connect();
  tx.on('error', ignore); // the next query tells
  try {
    await tx.query('begin isolation level repeatable read read only');
    for (let place = after; ;) {
      const rows = await readSnapshot(tx, state.options.schema, place, batch);
      if (rows.length === 0) return 'done';
      const outcome = await publish(
        state,
        rows.map((row) => toStored(row, state)),
        lead,
      );
      if (outcome !== 'done') return outcome;
      const last = rows.at(-1)!;
      place = { transactionId: last.transaction_id, position: last.global_position };
    }
  } finally {
    await tx.query('rollback').catch(() => undefined);
    tx.off('error', ignore);
    tx.release();
  }
};

const ignore = (): void => undefined;

const readSnapshot = async (
  tx: pg.PoolClient,
  schema: string,
  { transactionId, position }: Position,
  limit: number,
): Promise<EventRow[]> => {
  const { rows } = await tx.query<EventRow>(
    `select stream_id, version, id, type, data, meta, global_position, transaction_id from ${schema}.events
     where (transaction_id, global_position) > ($1::xid8, $2::bigint) order by transaction_id, global_position limit $3`,
    [transactionId, position, limit],
  );
  return rows;
};
