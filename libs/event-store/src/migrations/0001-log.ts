/**
 * The log and what stands beside it.
 *
 * Two indexes on `events`, no more: each costs every append. The first is the guard of optimistic concurrency, the second the
 * order in which the log is read. There is no key on `id`: the relay delivers at least once and the inbox takes repetitions out.
 */
export const log = (schema: string): string => `
  create table ${schema}.events (
    global_position bigint generated always as identity,
    transaction_id xid8 not null default pg_current_xact_id(),
    stream_id text not null,
    version integer not null check (version > 0),
    id uuid not null,
    type text not null,
    data jsonb not null,
    meta jsonb not null,
    at timestamptz not null,
    constraint events_stream_version unique (stream_id, version),
    constraint events_log_order primary key (transaction_id, global_position)
  );

  create table ${schema}.inbox (
    consumer text not null,
    event_id text not null,
    at timestamptz not null default now(),
    primary key (consumer, event_id)
  );

  create table ${schema}.checkpoints (
    name text primary key,
    transaction_id xid8 not null default '0',
    position bigint not null default 0,
    detail jsonb not null default '{}',
    at timestamptz not null default now()
  );

  create table ${schema}.parked (
    sequence bigint generated always as identity,
    consumer text not null,
    key text not null,
    event_id text not null,
    topic text not null,
    event jsonb not null,
    reason text not null,
    attempts integer not null,
    redrive boolean not null default false,
    at timestamptz not null default now(),
    primary key (consumer, event_id)
  );
  create index parked_in_order on ${schema}.parked (consumer, key, sequence);
  create index parked_to_redrive on ${schema}.parked (consumer) where redrive;

  create table ${schema}.idempotency (
    tenant text not null,
    key text not null,
    route text not null,
    request_hash text not null,
    answer jsonb not null,
    at timestamptz not null default now(),
    primary key (tenant, key)
  );
  create index idempotency_age on ${schema}.idempotency (at);

  -- Grants do not bind a superuser, and the embedded mode may run as one: the log refuses by itself too.
  create function ${schema}.refuse_change() returns trigger language plpgsql as $$
  begin
    raise exception 'events are never changed: % on %.events', tg_op, tg_table_schema using errcode = 'insufficient_privilege';
  end $$;
  create trigger events_never_change before update or delete or truncate on ${schema}.events
    for each statement execute function ${schema}.refuse_change();
`;
