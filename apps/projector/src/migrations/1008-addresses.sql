create table addresses (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  state text generated always as (data ->> 'state') stored,
  name text generated always as (data ->> 'name') stored,
  address text generated always as (data ->> 'address') stored,
  network_id text generated always as (data ->> 'networkId') stored,
  vm_id text generated always as (data ->> 'vmId') stored,
  constraint addresses_pk primary key (id)
);
create index addresses_newest on addresses (created_at desc, id desc);
create index addresses_by_state on addresses (state, created_at desc, id desc);
create index addresses_by_vm on addresses (vm_id, created_at desc, id desc);
create index addresses_by_network on addresses (network_id, created_at desc, id desc);
