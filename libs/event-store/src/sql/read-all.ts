import { columns } from './columns.ts';

/**
 * The log in order, after ($1 transaction, $2 position), at most $3 events.
 *
 * `global_position` is taken when a row is inserted, not when it is committed: who reads `global_position > checkpoint` passes a
 * number whose transaction is still open and never comes back. So only transactions older than any that is still open are read:
 * all below that bound is final, and nothing can appear behind the reader. The price is that one long transaction, in any schema of
 * the server, holds readers back (not the log): keep transactions short.
 */
export const readAll = (schema: string) => ({
  name: `${schema}.read_all`,
  text: `
    select ${columns} from ${schema}.events
    where (transaction_id, global_position) > ($1::xid8, $2::bigint) and transaction_id < pg_snapshot_xmin(pg_current_snapshot())
    order by transaction_id, global_position limit $3`,
});
