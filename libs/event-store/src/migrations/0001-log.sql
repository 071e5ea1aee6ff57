-- The log and what stands beside it.
--
-- Two indexes on `events`, no more: each costs every append. The first is the guard of optimistic concurrency, the second the
-- order in which the log is read. There is no key on `id`: the relay delivers at least once and the inbox takes repetitions out.
--
-- "if not exists", "or replace": a database of the time before numbered files has all this, and keeps what it has.

-- Roles belong to the whole cluster, so two databases can race here whatever lock they hold: the loser finds it made.
do $$ begin
  if not exists (select from pg_roles where rolname = 'chrysalis_app') then create role chrysalis_app nologin; end if;
  if not pg_has_role('chrysalis_app', 'member') then grant chrysalis_app to current_user; end if;
exception when duplicate_object or unique_violation then null;
end $$;

-- For all tables that come after; in what notes the migrations the services' role has no part.
revoke all on schema_migrations, schema_migrations_id_seq from chrysalis_app;
do $$ begin
  execute format('grant usage on schema %I to chrysalis_app', current_schema());
  execute format('alter default privileges in schema %I grant select, insert, update, delete on tables to chrysalis_app', current_schema());
  execute format('alter default privileges in schema %I grant usage, select on sequences to chrysalis_app', current_schema());
end $$;

create table if not exists events (
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

create table if not exists inbox (
  consumer text not null,
  event_id text not null,
  at timestamptz not null default now(),
  primary key (consumer, event_id)
);

create table if not exists checkpoints (
  name text primary key,
  transaction_id xid8 not null default '0',
  position bigint not null default 0,
  detail jsonb not null default '{}',
  at timestamptz not null default now()
);

create table if not exists parked (
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
create index if not exists parked_in_order on parked (consumer, key, sequence);
create index if not exists parked_to_redrive on parked (consumer) where redrive;

create table if not exists idempotency (
  tenant text not null,
  key text not null,
  route text not null,
  request_hash text not null,
  answer jsonb not null,
  at timestamptz not null default now(),
  primary key (tenant, key)
);
create index if not exists idempotency_age on idempotency (at);

-- Grants do not bind a superuser, and the embedded mode may run as one: the log refuses by itself too.
revoke update, delete, truncate on events from chrysalis_app;
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are never changed: % on %.events', tg_op, tg_table_schema using errcode = 'insufficient_privilege';
end $$;
create or replace trigger events_never_change before update or delete or truncate on events
  for each statement execute function refuse_change();

-- What noted this before.
drop table if exists event_store_migrations;
