set search_path to provisioning;
create table if not exists provisioning.vms (
  vm text primary key,
  tenant text not null,
  status text not null,
  version integer not null,
  view jsonb not null
);
create index if not exists vms_of_tenant on provisioning.vms (tenant, vm);
create table if not exists provisioning.vm_types (name text, version integer, spec jsonb not null, primary key (name, version));
alter table provisioning.vm_types add column if not exists deprecated jsonb;
create index if not exists vms_of_type on provisioning.vms ((view ->> 'type'), vm) where status <> 'deleted';
create table if not exists provisioning.images (name text, version integer, image jsonb not null, primary key (name, version));
create table if not exists provisioning.guest_addresses (
  fifth smallint not null check (fifth between 16 and 250),
  sixth smallint not null check (sixth between 1 and 254),
  vm text not null,
  nic text not null,
  primary key (fifth, sixth),
  unique (vm, nic)
);
create table if not exists provisioning.observed (
  vm text primary key, version integer not null, host text not null, epoch integer not null, observed jsonb not null
);
create sequence if not exists provisioning.guest_address;

set search_path to default;
insert into provisioning.checkpoints (name, position, detail, at) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into provisioning.events (stream_id, version, id, type, data, meta, at) values ('a', 1, '0199c0de-0000-7000-8000-000000000001', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into provisioning.guest_addresses (fifth, sixth, vm, nic) values (16, 1, 'a', 'a');
insert into provisioning.idempotency (tenant, key, route, request_hash, answer, at) values ('a', 'a', 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into provisioning.images (name, version, image) values ('a', 1, '{"a": 1}');
insert into provisioning.inbox (consumer, event_id, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into provisioning.observed (vm, version, host, epoch, observed) values ('a', 1, 'a', 1, '{"a": 1}');
insert into provisioning.parked (consumer, key, event_id, topic, event, reason, attempts, redrive, at) values ('a', 'a', 'a', 'a', '{"a": 1}', 'a', 1, true, '2026-01-02T03:04:05Z');
insert into provisioning.vm_types (name, version, spec, deprecated) values ('a', 1, '{"a": 1}', '{"a": 1}');
insert into provisioning.vms (vm, tenant, status, version, view) values ('a', 'a', 'a', 1, '{"a": 1}');
