/**
 * Takes timers that are due, for this instance alone, by moving them on: whoever takes one and dies leaves it to come due again.
 * \`skip locked\`: instances do not wait for each other. PostgreSQL's clock is everyone's.
 */
export const takeDue = (schema: string) => ({
  name: `${schema}.workflow_take_due`,
  text: `
    update ${schema}.timers set at = now() + interval '2 seconds'
    where workflow_id in (select workflow_id from ${schema}.timers where at <= now() order by at limit $1 for update skip locked)
    returning workflow_id`,
});

/** Milliseconds until the soonest timer (null without one), and PostgreSQL's clock in milliseconds since 1970. */
export const soonest = (schema: string) => ({
  name: `${schema}.workflow_soonest`,
  text: `
    select (extract(epoch from (select min(at) from ${schema}.timers) - clock_timestamp()) * 1000)::float8 as ms,
      (extract(epoch from clock_timestamp()) * 1000)::float8 as now`,
});
