/** $1 consumer, $2 ids of events, or of tasks: returns those not seen before. The row is the consumer's proof, and commits with the effect. */
export const firstSeen = (schema: string) => ({
  name: `${schema}.first_seen`,
  text: `
    insert into ${schema}.inbox (consumer, event_id) select $1, id from unnest($2::text[]) as id
    on conflict do nothing returning event_id`,
});
