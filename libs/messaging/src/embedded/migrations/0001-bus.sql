-- The embedded bus: its own schema beside those of the services. Offsets count from 0 per partition, without gaps, in commit order:
-- a publisher holds the row of its partition until it commits, so no reader can pass an offset that is still to come.
--
-- "if not exists": a database of the time before numbered files has all this, and keeps what it has.

create table if not exists identity (id uuid not null default gen_random_uuid(), one boolean primary key default true check (one));
insert into identity default values on conflict do nothing;

create table if not exists topics (name text primary key, partitions integer not null check (partitions > 0));

-- One hot row each: updates stay in the page.
create table if not exists partitions (
  topic text not null references topics,
  partition integer not null,
  next_offset bigint not null default 0,
  primary key (topic, partition)
) with (fillfactor = 10);

create table if not exists messages (
  topic text not null,
  partition integer not null,
  message_offset bigint not null,
  event json not null,
  primary key (topic, partition, message_offset)
);

create table if not exists offsets (
  consumer_group text not null,
  topic text not null,
  partition integer not null,
  next_offset bigint not null,
  primary key (consumer_group, topic, partition)
) with (fillfactor = 10);

create table if not exists members (
  id uuid primary key,
  consumer_group text not null,
  topics text[] not null,
  backend_pid integer not null,
  backend_start timestamptz not null,
  seen timestamptz not null default now()
);

-- The services' role is made with their logs; a bus without services has none.
do $$ begin
  if exists (select from pg_roles where rolname = 'chrysalis_app') then
    grant usage on schema bus to chrysalis_app;
    grant select, insert, update, delete on identity, topics, partitions, messages, offsets, members to chrysalis_app;
    alter default privileges in schema bus grant select, insert, update, delete on tables to chrysalis_app;
  end if;
end $$;
