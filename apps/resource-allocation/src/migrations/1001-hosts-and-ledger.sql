-- What stands beside the log, written in the transaction of the events it follows from:
-- - `hosts`: each host as its stream says, with the sum of what is held there;
-- - `ledger`: who holds what where. A consumer has one row: it holds on one host at a time;
-- - `owners`: the VMs and moves that other contexts told of, and whether they have ended: whose holds may be there, and whose a VM is. Read facts;
-- - `host_connections`: what the agent gateway said last of a host's session. A read fact: no event of ours follows from it;
-- - `released`: a workflow's release of a consumer. A placement of the same workflow that was sent before it and comes after is refused;
--   forgotten after a week, which no task outlives.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists hosts (
  host text primary key,
  facts jsonb not null,
  state text not null,
  version integer not null,
  vcpu_capacity bigint not null, memory_mib_capacity bigint not null, disk_mib_capacity bigint not null,
  vcpu_ceiling bigint not null, memory_mib_ceiling bigint not null, disk_mib_ceiling bigint not null,
  vcpu_held bigint not null default 0, memory_mib_held bigint not null default 0, disk_mib_held bigint not null default 0,
  constraint hosts_not_below_zero check (vcpu_held >= 0 and memory_mib_held >= 0 and disk_mib_held >= 0),
  constraint hosts_not_over_capacity
    check (vcpu_held <= vcpu_ceiling and memory_mib_held <= memory_mib_ceiling and disk_mib_held <= disk_mib_ceiling)
);

create table if not exists ledger (
  consumer text primary key check (consumer ~ '^(vm|move):'),
  host text not null references hosts (host),
  vm text not null,
  vcpu bigint not null check (vcpu >= 0),
  memory_mib bigint not null check (memory_mib >= 0),
  disk_mib bigint not null check (disk_mib >= 0)
);
alter table hosts drop constraint if exists hosts_state_check;
alter table hosts add constraint hosts_state_check check (state in ('enabled', 'cordoned', 'draining', 'retiring', 'lost'));
alter table ledger add column if not exists since timestamptz not null default now();

create table if not exists owners (
  consumer text primary key,
  ended boolean not null
);
alter table owners add column if not exists tenant text;
create index if not exists ledger_by_host on ledger (host);
create index if not exists ledger_by_vm on ledger (vm);

create table if not exists host_connections (
  host text primary key,
  session text not null,
  connected boolean not null,
  reason text,
  since timestamptz not null
);

create table if not exists released (
  consumer text not null,
  workflow text not null,
  token bigint not null,
  primary key (consumer, workflow)
);
alter table released add column if not exists at timestamptz not null default now();
create index if not exists released_by_age on released (at);
