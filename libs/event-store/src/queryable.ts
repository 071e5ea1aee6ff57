import type pg from 'pg';

/** Whatever runs one query: the pool, or the connection of a transaction. */
export type Queryable = Pick<pg.ClientBase, 'query'>;
