import type pg from 'pg';
import { handlersOf } from './projections/index.ts';
import { tables, type Change, type Document, type Table } from './projection.ts';
import type { Recorded } from './recorded.ts';
import { appendFeed } from './sql/feed.ts';
import { loadRows, upsertRows, type Row } from './sql/rows.ts';

type Step = { readonly event: Recorded; readonly change: Change };

/**
 * A batch in one transaction: for each table one read and one upsert, whatever the number of events, then the feed. Any batch may come
 * again, in part or in whole: rows know the version they are at, the feed knows the events it has.
 */
export const applyBatch = async (tx: pg.ClientBase, schema: string, events: readonly Recorded[]): Promise<void> => {
  await tx.query(shareWithRebuild);
  await applyToRows(tx, schema, events);
  await appendFeed(tx, schema, events);
};

/** The read models without the feed: what a rebuild does. */
export const applyToRows = async (tx: pg.ClientBase, schema: string, events: readonly Recorded[]): Promise<void> => {
  const steps = events.flatMap((event) => changesOf(event).map((change) => ({ event, change })));
  const byTable = Map.groupBy(steps, (s) => s.change.table);
  // Always the same order of tables and of ids: two batches that meet in a row wait for each other, and never in a circle.
  for (const table of tables) {
    const ofTable = byTable.get(table);
    if (ofTable) await applyToTable(tx, schema, table, ofTable);
  }
};

/** A live batch holds this shared, the end of a rebuild holds it alone: see rebuild.ts. */
export const REBUILD_LOCK = `hashtextextended('chrysalis.projector.rebuild', 0)`;
const shareWithRebuild = `select pg_advisory_xact_lock_shared(${REBUILD_LOCK})`;

const changesOf = (event: Recorded): readonly Change[] => (handlersOf.get(event.type) ?? []).flatMap((h) => h.changes(event));

const applyToTable = async (tx: pg.ClientBase, schema: string, table: Table, steps: readonly Step[]): Promise<void> => {
  const ids = [...new Set(steps.map((s) => s.change.id))].sort();
  const before = await loadRows(tx, schema, table, ids);
  const rows = new Map(before);
  for (const { event, change } of steps) rows.set(change.id, evolved(rows.get(change.id), event, change));
  const changed = ids.flatMap((id) => {
    const row = rows.get(id);
    return row && row !== before.get(id) ? [row] : [];
  });
  if (changed.length > 0) await upsertRows(tx, schema, table, changed);
};

const evolved = (row: Row | undefined, event: Recorded, { id, evolve }: Change): Row => {
  if (row && row.version >= event.version) return row;
  const data: Document = evolve(row?.data);
  return {
    id,
    version: event.version,
    tenant: row?.tenant ?? event.tenant,
    createdAt: row?.createdAt ?? event.at,
    updatedAt: event.at,
    data,
  };
};
