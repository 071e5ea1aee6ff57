/** $1 tenant, $2 key, $3 route, $4 hash of the request, $5 answer. Returns a row if it is the first. */
export const remember = (schema: string) => ({
  name: `${schema}.remember_answer`,
  text: `
    insert into ${schema}.idempotency (tenant, key, route, request_hash, answer) values ($1, $2, $3, $4, $5)
    on conflict do nothing returning key`,
});

/** $1 tenant, $2 key. */
export const recall = (schema: string) => ({
  name: `${schema}.recall_answer`,
  text: `select route, request_hash, answer from ${schema}.idempotency where tenant = $1 and key = $2`,
});

/** $1 interval, e.g. `24 hours`. */
export const forget = (schema: string) => ({
  name: `${schema}.forget_answers`,
  text: `delete from ${schema}.idempotency where at < now() - $1::interval`,
});
