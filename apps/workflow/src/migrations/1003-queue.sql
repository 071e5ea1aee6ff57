-- `queue`: a row per request that was taken and whose start is not known to be committed. It waits (`admitted_at` null) or was let in and
-- is being started by somebody since then; who finds it there for longer takes it over. `rank` in milliseconds since 1970: see the core's
-- queue.ts. `announced`: its stream says that it waits. `definition` null: of the template `name@version`.
-- `queue_pace`: how fast a tenant's requests leave the queue. `limits`: one row, or none where nothing is limited.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists queue (
  workflow_id text primary key,
  tenant text not null,
  name text not null,
  version int not null,
  summary text not null,
  tasks int not null,
  subject text not null,
  priority smallint not null,
  key text,
  queued_at timestamptz not null,
  rank float8 not null,
  expires_at timestamptz not null,
  definition jsonb,
  params jsonb not null,
  meta jsonb not null,
  announced boolean not null default false,
  admitted_at timestamptz
);
create index if not exists queue_waiting on queue (tenant, name, rank) where admitted_at is null;
create index if not exists queue_admitted on queue (admitted_at) where admitted_at is not null;

create table if not exists queue_pace (
  tenant text primary key,
  rate float8 not null,
  at float8 not null
);

create table if not exists limits (
  one boolean primary key default true check (one),
  limits jsonb not null,
  set_at timestamptz not null
);
