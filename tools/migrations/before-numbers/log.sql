-- Each service had this in its own schema.

do $$ begin
    if not exists (select from pg_roles where rolname = 'chrysalis_app') then create role chrysalis_app nologin; end if;
    if not pg_has_role('chrysalis_app', 'member') then grant chrysalis_app to current_user; end if;
  exception when duplicate_object or unique_violation then null;
  end $$;

create schema SCHEMA;
create table SCHEMA.event_store_migrations (name text primary key, at timestamptz not null default now());
create table SCHEMA.events (
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

create table SCHEMA.inbox (
  consumer text not null,
  event_id text not null,
  at timestamptz not null default now(),
  primary key (consumer, event_id)
);

create table SCHEMA.checkpoints (
  name text primary key,
  transaction_id xid8 not null default '0',
  position bigint not null default 0,
  detail jsonb not null default '{}',
  at timestamptz not null default now()
);

create table SCHEMA.parked (
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
create index parked_in_order on SCHEMA.parked (consumer, key, sequence);
create index parked_to_redrive on SCHEMA.parked (consumer) where redrive;

create table SCHEMA.idempotency (
  tenant text not null,
  key text not null,
  route text not null,
  request_hash text not null,
  answer jsonb not null,
  at timestamptz not null default now(),
  primary key (tenant, key)
);
create index idempotency_age on SCHEMA.idempotency (at);

-- Grants do not bind a superuser, and the embedded mode may run as one: the log refuses by itself too.
create function SCHEMA.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'events are never changed: % on %.events', tg_op, tg_table_schema using errcode = 'insufficient_privilege';
end $$;
create trigger events_never_change before update or delete or truncate on SCHEMA.events
  for each statement execute function SCHEMA.refuse_change();
insert into SCHEMA.event_store_migrations (name) values ('0001-log');
grant usage on schema SCHEMA to chrysalis_app;
alter default privileges in schema SCHEMA grant select, insert, update, delete on tables to chrysalis_app;
alter default privileges in schema SCHEMA grant usage, select on sequences to chrysalis_app;
grant select, insert, update, delete on all tables in schema SCHEMA to chrysalis_app;
grant usage, select on all sequences in schema SCHEMA to chrysalis_app;
revoke update, delete, truncate on SCHEMA.events from chrysalis_app;
revoke insert, update, delete, truncate on SCHEMA.event_store_migrations from chrysalis_app;
