/** $1 consumer, $2 keys: those of them that have something parked. */
export const parkedKeys = (schema: string) => ({
  name: `${schema}.parked_keys`,
  text: `select distinct key from ${schema}.parked where consumer = $1 and key = any($2::text[])`,
});

/** $1 consumer, $2 key. Parking behind others and redriving the last of them exclude each other: else an event would be left alone. */
export const lockKey = { name: 'messaging.lock_key', text: `select pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 7))` };

/** $1 consumer, $2 key, $3 event id, $4 topic, $5 event, $6 reason, $7 attempts. */
export const park = (schema: string) => ({
  name: `${schema}.park`,
  text: `
    insert into ${schema}.parked (consumer, key, event_id, topic, event, reason, attempts) values ($1, $2, $3, $4, $5, $6, $7)
    on conflict do nothing`,
});

/** $1 consumer, $2 key: the first of the key, which is the next to go. */
export const firstParked = (schema: string) => ({
  name: `${schema}.first_parked`,
  text: `
    select event_id, topic, event, attempts from ${schema}.parked where consumer = $1 and key = $2 order by sequence limit 1`,
});

/** $1 consumer, $2 event id. */
export const unpark = (schema: string) => ({
  name: `${schema}.unpark`,
  text: `delete from ${schema}.parked where consumer = $1 and event_id = $2`,
});

/** $1 consumer, $2 event id, $3 reason. */
export const failedAgain = (schema: string) => ({
  name: `${schema}.failed_again`,
  text: `update ${schema}.parked set reason = $3, attempts = attempts + 1 where consumer = $1 and event_id = $2`,
});

/** $1 consumer, $2 key. */
export const endRedrive = (schema: string) => ({
  name: `${schema}.end_redrive`,
  text: `update ${schema}.parked set redrive = false where consumer = $1 and key = $2 and redrive`,
});

/** $1 consumer: keys somebody asked to redrive. */
export const keysToRedrive = (schema: string) => ({
  name: `${schema}.keys_to_redrive`,
  text: `select key from ${schema}.parked where consumer = $1 and redrive group by key order by min(sequence)`,
});

/** $1 consumer, $2 key or null for all of its keys. */
export const requestRedrive = (schema: string) => ({
  name: `${schema}.request_redrive`,
  text: `update ${schema}.parked set redrive = true where consumer = $1 and ($2::text is null or key = $2)`,
});

/** $1 consumer or null for all, $2 limit. */
export const listParked = (schema: string) => ({
  name: `${schema}.list_parked`,
  text: `
    select sequence, consumer, key, event_id, topic, event, reason, attempts, redrive, at from ${schema}.parked
    where $1::text is null or consumer = $1 order by sequence limit $2`,
});
