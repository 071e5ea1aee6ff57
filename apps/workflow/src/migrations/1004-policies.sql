-- `policies`: each policy as its stream says (`state`, folded up to `version`), written in the transaction of its events. `next_at`: the
-- slot of its schedule that nobody has served yet. `last_failure`: what last kept it from firing, the newest only.
-- `policy_firings`: a row for each cause. It waits until the limits allow, then it has started, by an append that commits with it; or it is
-- refused for ever, with the reason. The workflow's id follows from the cause, so a cause that comes again finds its row.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists policies (
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
create index if not exists policies_due on policies (next_at) where next_at is not null;

create table if not exists policy_firings (
  workflow_id text primary key,
  policy text not null,
  cause jsonb not null,
  scope jsonb not null,
  state text not null check (state in ('waiting', 'started', 'ended', 'refused')),
  noted_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  reason jsonb
);
create index if not exists policy_firings_waiting on policy_firings (policy, noted_at) where state = 'waiting';
create index if not exists policy_firings_started on policy_firings (policy) where state = 'started';
create index if not exists policy_firings_latest on policy_firings (policy, noted_at desc);
