-- `instances`: one row per workflow, for the list; written in the transaction of the events it tells of.
-- `timers`: one row per workflow that has not ended: no later than its next timer. It is a lower bound, so that a task that reports in
-- time costs no write here: a row that comes due too early is moved on. `version` is the stream's when `at` was worked out.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists instances (
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
create index if not exists instances_started on instances (started_at desc, workflow_id desc);
create index if not exists instances_subject on instances (subject);

create table if not exists timers (
  workflow_id text primary key,
  at timestamptz not null,
  version int not null
) with (fillfactor = 70);
create index if not exists timers_at on timers (at);
