/** What the log says is on the bus and was not found there yet; of this connection alone. */
export const make = `
  create temporary table owed (
    topic text, id text, transaction_id xid8, global_position bigint, at timestamptz, primary key (topic, id)
  )`;
export const drop = `drop table if exists owed`;

/** $1 topics, $2 ids, $3 transactions, $4 positions, $5 moments: one element a message. */
export const owe = `
  insert into owed select * from unnest($1::text[], $2::text[], $3::xid8[], $4::bigint[], $5::timestamptz[]) on conflict do nothing`;

export const topics = `select distinct topic from owed order by topic`;

/** $1 topic, $2 ids that are there. */
export const strike = `delete from owed where topic = $1 and id = any($2::text[])`;

/** $1 topic, $2 the oldest moment that the topic still has. */
export const expire = `delete from owed where topic = $1 and at < $2::timestamptz`;

export const count = `select count(*)::int as n from owed`;

/** $1 limit: in the log's order. */
export const first = (schema: string): string => `
  select o.topic, o.id, e.type, e.stream_id as stream, e.version, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
  from owed o join ${schema}.events e using (transaction_id, global_position) order by transaction_id, global_position, topic limit $1`;
