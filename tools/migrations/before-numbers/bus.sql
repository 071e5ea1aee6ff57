create schema if not exists bus;
create table if not exists bus.identity (id uuid not null default gen_random_uuid(), one boolean primary key default true check (one));
insert into bus.identity default values on conflict do nothing;
create table if not exists bus.topics (name text primary key, partitions integer not null check (partitions > 0));
create table if not exists bus.partitions (
  topic text not null references bus.topics,
  partition integer not null,
  next_offset bigint not null default 0,
  primary key (topic, partition)
) with (fillfactor = 10); -- one hot row each: updates stay in the page
create table if not exists bus.messages (
  topic text not null,
  partition integer not null,
  message_offset bigint not null,
  event json not null,
  primary key (topic, partition, message_offset)
);
create table if not exists bus.offsets (
  consumer_group text not null,
  topic text not null,
  partition integer not null,
  next_offset bigint not null,
  primary key (consumer_group, topic, partition)
) with (fillfactor = 10);
create table if not exists bus.members (
  id uuid primary key,
  consumer_group text not null,
  topics text[] not null,
  backend_pid integer not null,
  backend_start timestamptz not null,
  seen timestamptz not null default now()
);
do $$ begin
  if exists (select from pg_roles where rolname = 'chrysalis_app') then
    grant usage on schema bus to chrysalis_app;
    grant select, insert, update, delete on all tables in schema bus to chrysalis_app;
  end if;
end $$;

set search_path to default;
insert into bus.topics (name, partitions) values ('a', 1);
insert into bus.members (id, consumer_group, topics, backend_pid, backend_start, seen) values ('0199c0de-0000-7000-8000-000000000001', 'a', '{a}', 1, '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z');
insert into bus.messages (topic, partition, message_offset, event) values ('a', 1, 1, '{"a": 1}');
insert into bus.offsets (consumer_group, topic, partition, next_offset) values ('a', 'a', 1, 1);
insert into bus.partitions (topic, partition, next_offset) values ('a', 1, 1);
