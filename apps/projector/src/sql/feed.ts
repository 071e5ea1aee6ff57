import type pg from 'pg';
import type { Recorded } from '../recorded.ts';
import { redact } from '../redact.ts';

/** Readers LISTEN on it; the payload is nothing but a wake-up. */
export const READ_CHANNEL = 'chrysalis_read';

/**
 * Positions are given out under a lock that is held to the commit (some 1 ms, once a batch), so they become visible in their order:
 * who resumes after position n has missed nothing below it. A statement of its own: what the next one sees is later than the lock.
 */
export const lockFeed = (tx: pg.ClientBase): Promise<unknown> =>
  tx.query(`select pg_advisory_xact_lock(hashtextextended('chrysalis.projector.feed', 0))`);

/** With the feed locked. Wakes its readers where there is something new. */
export const appendFeed = async (tx: pg.ClientBase, schema: string, events: readonly Recorded[]): Promise<void> => {
  await tx.query({
    name: `${schema}.feed.append`,
    text: `
      with added as (
      insert into ${schema}.feed (event_id, type, stream, version, at, tenant, actor, correlation_id, causation_id, data)
      select event_id, type, stream, version, at, tenant, actor, correlation_id, causation_id, data
      from rows from (unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[]),
        jsonb_array_elements($10::jsonb)) with ordinality as e (event_id, type, stream, version, at, tenant, actor, correlation_id, causation_id, data, nr)
      order by nr
      on conflict (event_id) do nothing returning position
      ) select pg_notify('${READ_CHANNEL}', '') from (select from added limit 1) one`,
    values: columnsOf(events),
  });
};

const columnsOf = (events: readonly Recorded[]): unknown[] => [
  events.map((e) => e.id),
  events.map((e) => e.type),
  events.map((e) => e.stream),
  events.map((e) => e.version),
  events.map((e) => e.at),
  events.map((e) => e.tenant),
  events.map((e) => e.actor),
  events.map((e) => e.correlationId),
  events.map((e) => e.causationId ?? null),
  JSON.stringify(events.map((e) => redact(e.data) ?? null)),
];
