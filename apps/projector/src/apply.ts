import { atOnce } from '@chrysalis/event-store';
import type pg from 'pg';
import { handlersOf } from './projections/index.ts';
import { tables, type Change, type Document, type Table } from './projection.ts';
import type { Recorded } from './recorded.ts';
import { appendFeed, lockFeed } from './sql/feed.ts';
import { loadRows, upsertRows, type Row } from './sql/rows.ts';

type Step = { readonly event: Recorded; readonly change: Change };

/**
 * A batch in one transaction: for each table one read and one upsert, whatever the number of events, then the feed. Any batch may come
 * again, in part or in whole: rows know the version they are at, the feed knows the events it has. What need not wait for each other goes
 * out together: all reads, then all writes.
 */
export const applyBatch = async (tx: pg.ClientBase, schema: string, events: readonly Recorded[]): Promise<void> => {
  const wanted = wantedBy(events);
  const [, ...before] = await atOnce<unknown>(tx, [() => tx.query(shareWithRebuild), ...readsOf(tx, schema, wanted)]);
  await atOnce<unknown>(tx, [
    ...writesOf(tx, schema, wanted, before as readonly Rows[]),
    () => lockFeed(tx),
    () => appendFeed(tx, schema, events),
  ]);
};

/** The read models without the feed: what a rebuild does. */
export const applyToRows = async (tx: pg.ClientBase, schema: string, events: readonly Recorded[]): Promise<void> => {
  const wanted = wantedBy(events);
  const before = await atOnce(tx, readsOf(tx, schema, wanted));
  await atOnce(tx, writesOf(tx, schema, wanted, before));
};

type Rows = ReadonlyMap<string, Row>;
type Wanted = { readonly table: Table; readonly steps: readonly Step[]; readonly ids: readonly string[] };

/** Always the same order of tables and of ids: two batches that meet in a row wait for each other, and never in a circle. */
const wantedBy = (events: readonly Recorded[]): readonly Wanted[] => {
  const steps = events.flatMap((event) => changesOf(event).map((change) => ({ event, change })));
  const byTable = Map.groupBy(steps, (s) => s.change.table);
  return tables.flatMap((table) => {
    const ofTable = byTable.get(table);
    return ofTable ? [{ table, steps: ofTable, ids: [...new Set(ofTable.map((s) => s.change.id))].sort() }] : [];
  });
};

const readsOf = (tx: pg.ClientBase, schema: string, wanted: readonly Wanted[]): (() => Promise<Rows>)[] =>
  wanted.map(
    ({ table, ids }) =>
      () =>
        loadRows(tx, schema, table, ids),
  );

const writesOf = (tx: pg.ClientBase, schema: string, wanted: readonly Wanted[], before: readonly Rows[]): (() => Promise<void>)[] =>
  wanted.flatMap((w, i) => {
    const changed = changedRows(w, before[i]!);
    return changed.length > 0 ? [() => upsertRows(tx, schema, w.table, changed)] : [];
  });

/** A live batch holds this shared, the end of a rebuild holds it alone: see rebuild.ts. */
export const REBUILD_LOCK = `hashtextextended('chrysalis.projector.rebuild', 0)`;
const shareWithRebuild = `select pg_advisory_xact_lock_shared(${REBUILD_LOCK})`;

const changesOf = (event: Recorded): readonly Change[] => (handlersOf.get(event.type) ?? []).flatMap((h) => h.changes(event));

const changedRows = ({ steps, ids }: Wanted, before: Rows): readonly Row[] => {
  const rows = new Map(before);
  for (const { event, change } of steps) rows.set(change.id, evolved(rows.get(change.id), event, change));
  return ids.flatMap((id) => {
    const row = rows.get(id);
    return row && row !== before.get(id) ? [row] : [];
  });
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
