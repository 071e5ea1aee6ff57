-- What stands beside the log, written in the transaction of the events it follows from: the service's own view of VMs, types and images,
-- who has which guest address, and what VMs were seen to do: a fact of their hosts, and no part of their streams. An address is a NIC's for
-- as long as its VM is there: the key keeps it unique.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists vms (
  vm text primary key,
  tenant text not null,
  status text not null,
  version integer not null,
  view jsonb not null
);
create index if not exists vms_of_tenant on vms (tenant, vm);

create table if not exists vm_types (name text, version integer, spec jsonb not null, primary key (name, version));
alter table vm_types add column if not exists deprecated jsonb;
create index if not exists vms_of_type on vms ((view ->> 'type'), vm) where status <> 'deleted';

create table if not exists images (name text, version integer, image jsonb not null, primary key (name, version));

create table if not exists guest_addresses (
  fifth smallint not null check (fifth between 16 and 250),
  sixth smallint not null check (sixth between 1 and 254),
  vm text not null,
  nic text not null,
  primary key (fifth, sixth),
  unique (vm, nic)
);

create table if not exists observed (
  vm text primary key, version integer not null, host text not null, epoch integer not null, observed jsonb not null
);
create sequence if not exists guest_address;
