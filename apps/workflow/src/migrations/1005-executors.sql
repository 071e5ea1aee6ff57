-- `executors`: who can run what, from what host agents' sessions and services told. `executor_losses`: awards that failed or lapsed, once
-- each, from which rank is worked out. Both hold nothing that the events do not: any instance may write them, in any order.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists executors (
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

create table if not exists executor_losses (
  executor text not null,
  event_id text not null,
  at timestamptz not null,
  code text not null,
  workflow_id text not null,
  task text not null,
  primary key (executor, event_id)
);
