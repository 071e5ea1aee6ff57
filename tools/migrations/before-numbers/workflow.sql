set search_path to workflow;
create table if not exists workflow.instances (
  workflow_id text primary key,
  name text not null,
  version int not null,
  subject text not null,
  tenant text not null,
  state text not null,
  cause_code text,
  tasks int not null,
  started_at timestamptz not null,
  ended_at timestamptz
);
create index if not exists instances_started on workflow.instances (started_at desc, workflow_id desc);
create index if not exists instances_subject on workflow.instances (subject);
create table if not exists workflow.timers (
  workflow_id text primary key,
  at timestamptz not null,
  version int not null
) with (fillfactor = 70);
create index if not exists timers_at on workflow.timers (at);
create table if not exists workflow.templates (
  name text not null,
  version int not null,
  definition jsonb not null,
  at timestamptz not null,
  retired boolean not null default false,
  primary key (name, version)
);
create table if not exists workflow.queue (
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
create index if not exists queue_waiting on workflow.queue (tenant, name, rank) where admitted_at is null;
create index if not exists queue_admitted on workflow.queue (admitted_at) where admitted_at is not null;
create table if not exists workflow.queue_pace (
  tenant text primary key,
  rate float8 not null,
  at float8 not null
);
create table if not exists workflow.limits (
  one boolean primary key default true check (one),
  limits jsonb not null,
  set_at timestamptz not null
);
create table if not exists workflow.policies (
  name text primary key,
  version int not null,
  tenant text not null,
  status text not null,
  state jsonb not null,
  next_at timestamptz,
  last_started_at timestamptz,
  failures bigint not null default 0,
  last_failure jsonb
);
create index if not exists policies_due on workflow.policies (next_at) where next_at is not null;
create table if not exists workflow.policy_firings (
  workflow_id text primary key,
  policy text not null,
  cause jsonb not null,
  scope jsonb not null,
  state text not null check (state in ('waiting', 'started', 'ended', 'refused')),
  noted_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  reason jsonb
);
create index if not exists policy_firings_waiting on workflow.policy_firings (policy, noted_at) where state = 'waiting';
create index if not exists policy_firings_started on workflow.policy_firings (policy) where state = 'started';
create index if not exists policy_firings_latest on workflow.policy_firings (policy, noted_at desc);
create table if not exists workflow.executors (
  executor text primary key,
  task_group text not null,
  kinds text[] not null,
  labels jsonb not null,
  capacity int,
  health text not null check (health in ('up', 'lost')),
  session_id text,
  told_at timestamptz not null,
  last_word timestamptz not null
);
create table if not exists workflow.executor_losses (
  executor text not null,
  event_id text not null,
  at timestamptz not null,
  code text not null,
  workflow_id text not null,
  task text not null,
  primary key (executor, event_id)
);
create table if not exists workflow.children (
  workflow_id text primary key,
  parent_id text not null,
  token float8 not null,
  noted_at timestamptz not null default clock_timestamp(),
  checked_at timestamptz not null default clock_timestamp()
) with (fillfactor = 80);
create index if not exists children_parent on workflow.children (parent_id);
create index if not exists children_checked on workflow.children (checked_at);
create table if not exists workflow.durations (
  name text not null,
  task text not null,
  bucket smallint not null,
  count bigint not null,
  primary key (name, task, bucket)
);

set search_path to default;
insert into workflow.checkpoints (name, position, detail, at) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into workflow.children (workflow_id, parent_id, token, noted_at, checked_at) values ('a', 'a', 1.5, '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z');
insert into workflow.durations (name, task, bucket, count) values ('a', 'a', 1, 1);
insert into workflow.events (stream_id, version, id, type, data, meta, at) values ('a', 1, '0199c0de-0000-7000-8000-000000000001', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into workflow.executor_losses (executor, event_id, at, code, workflow_id, task) values ('a', 'a', '2026-01-02T03:04:05Z', 'a', 'a', 'a');
insert into workflow.executors (executor, task_group, kinds, labels, capacity, health, session_id, told_at, last_word) values ('a', 'a', '{a}', '{"a": 1}', 1, 'up', 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z');
insert into workflow.idempotency (tenant, key, route, request_hash, answer, at) values ('a', 'a', 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into workflow.inbox (consumer, event_id, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into workflow.instances (workflow_id, name, version, subject, tenant, state, cause_code, tasks, started_at, ended_at) values ('a', 'a', 1, 'a', 'a', 'a', 'a', 1, '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z');
insert into workflow.limits (one, limits, set_at) values (true, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into workflow.parked (consumer, key, event_id, topic, event, reason, attempts, redrive, at) values ('a', 'a', 'a', 'a', '{"a": 1}', 'a', 1, true, '2026-01-02T03:04:05Z');
insert into workflow.policies (name, version, tenant, status, state, next_at, last_started_at, failures, last_failure) values ('a', 1, 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 1, '{"a": 1}');
insert into workflow.policy_firings (workflow_id, policy, cause, scope, state, noted_at, started_at, reason) values ('a', 'a', '{"a": 1}', '{"a": 1}', 'waiting', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into workflow.queue (workflow_id, tenant, name, version, summary, tasks, subject, priority, key, queued_at, rank, expires_at, definition, params, meta, announced, admitted_at) values ('a', 'a', 'a', 1, 'a', 1, 'a', 1, 'a', '2026-01-02T03:04:05Z', 1.5, '2026-01-02T03:04:05Z', '{"a": 1}', '{"a": 1}', '{"a": 1}', true, '2026-01-02T03:04:05Z');
insert into workflow.queue_pace (tenant, rate, at) values ('a', 1.5, 1.5);
insert into workflow.templates (name, version, definition, at, retired) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z', true);
insert into workflow.timers (workflow_id, at, version) values ('a', '2026-01-02T03:04:05Z', 1);
