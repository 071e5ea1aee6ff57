set search_path to resource_allocation;
create table if not exists resource_allocation.hosts (
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
create table if not exists resource_allocation.ledger (
  consumer text primary key check (consumer ~ '^(vm|move):'),
  host text not null references resource_allocation.hosts (host),
  vm text not null,
  vcpu bigint not null check (vcpu >= 0),
  memory_mib bigint not null check (memory_mib >= 0),
  disk_mib bigint not null check (disk_mib >= 0)
);
alter table resource_allocation.hosts drop constraint if exists hosts_state_check;
alter table resource_allocation.hosts add constraint hosts_state_check check (state in ('enabled', 'cordoned', 'draining', 'retiring', 'lost'));
alter table resource_allocation.ledger add column if not exists since timestamptz not null default now();
create table if not exists resource_allocation.owners (
  consumer text primary key,
  ended boolean not null
);
alter table resource_allocation.owners add column if not exists tenant text;
create index if not exists ledger_by_host on resource_allocation.ledger (host);
create index if not exists ledger_by_vm on resource_allocation.ledger (vm);
create table if not exists resource_allocation.host_connections (
  host text primary key,
  session text not null,
  connected boolean not null,
  reason text,
  since timestamptz not null
);
create table if not exists resource_allocation.released (
  consumer text not null,
  workflow text not null,
  token bigint not null,
  primary key (consumer, workflow)
);
alter table resource_allocation.released add column if not exists at timestamptz not null default now();
create index if not exists released_by_age on resource_allocation.released (at);
create or replace function resource_allocation.ledger_sums() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    perform resource_allocation.ledger_add(host, sum(vcpu)::bigint, sum(memory_mib)::bigint, sum(disk_mib)::bigint) from added group by host order by host;
  elsif tg_op = 'DELETE' then
    perform resource_allocation.ledger_add(host, -sum(vcpu)::bigint, -sum(memory_mib)::bigint, -sum(disk_mib)::bigint) from gone group by host order by host;
  else
    perform resource_allocation.ledger_add(host, sum(vcpu)::bigint, sum(memory_mib)::bigint, sum(disk_mib)::bigint) from (
      select host, vcpu, memory_mib, disk_mib from added
      union all select host, -vcpu, -memory_mib, -disk_mib from gone
    ) changes group by host order by host;
  end if;
  return null;
end $$;
create or replace function resource_allocation.ledger_add(h text, v bigint, m bigint, d bigint) returns void language sql as $$
  update resource_allocation.hosts set
    vcpu_ceiling = greatest(vcpu_capacity, vcpu_held), vcpu_held = vcpu_held + v,
    memory_mib_ceiling = greatest(memory_mib_capacity, memory_mib_held), memory_mib_held = memory_mib_held + m,
    disk_mib_ceiling = greatest(disk_mib_capacity, disk_mib_held), disk_mib_held = disk_mib_held + d
  where host = h
$$;
create or replace trigger ledger_insert after insert on resource_allocation.ledger
  referencing new table as added for each statement execute function resource_allocation.ledger_sums();
create or replace trigger ledger_delete after delete on resource_allocation.ledger
  referencing old table as gone for each statement execute function resource_allocation.ledger_sums();
create or replace trigger ledger_update after update on resource_allocation.ledger
  referencing old table as gone new table as added for each statement execute function resource_allocation.ledger_sums();

set search_path to default;
insert into resource_allocation.hosts (host, facts, state, version, vcpu_capacity, memory_mib_capacity, disk_mib_capacity, vcpu_ceiling, memory_mib_ceiling, disk_mib_ceiling) values ('a', '{"a": 1}', 'enabled', 1, 4, 4, 4, 4, 4, 4);
insert into resource_allocation.checkpoints (name, position, detail, at) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into resource_allocation.events (stream_id, version, id, type, data, meta, at) values ('a', 1, '0199c0de-0000-7000-8000-000000000001', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into resource_allocation.host_connections (host, session, connected, reason, since) values ('a', 'a', true, 'a', '2026-01-02T03:04:05Z');
insert into resource_allocation.idempotency (tenant, key, route, request_hash, answer, at) values ('a', 'a', 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into resource_allocation.inbox (consumer, event_id, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into resource_allocation.ledger (consumer, host, vm, vcpu, memory_mib, disk_mib, since) values ('vm:a', 'a', 'a', 1, 1, 1, '2026-01-02T03:04:05Z');
insert into resource_allocation.owners (consumer, ended, tenant) values ('a', true, 'a');
insert into resource_allocation.parked (consumer, key, event_id, topic, event, reason, attempts, redrive, at) values ('a', 'a', 'a', 'a', '{"a": 1}', 'a', 1, true, '2026-01-02T03:04:05Z');
insert into resource_allocation.released (consumer, workflow, token, at) values ('a', 'a', 1, '2026-01-02T03:04:05Z');
