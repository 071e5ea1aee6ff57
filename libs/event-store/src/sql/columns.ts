import type { StoredEvent } from '../types.ts';

export const columns = 'stream_id, version, id, type, data, meta, global_position, transaction_id';

/** A row of `events` as `pg` gives it: bigint and xid8 as text. */
export type Row = {
  stream_id: string;
  version: number;
  id: string;
  type: string;
  data: unknown;
  meta: StoredEvent['meta'];
  global_position: string;
  transaction_id: string;
};

export const toEvent = (row: Row): StoredEvent => ({
  id: row.id,
  type: row.type,
  data: row.data,
  meta: row.meta,
  stream: row.stream_id,
  version: row.version,
  position: row.global_position,
  transactionId: row.transaction_id,
});
