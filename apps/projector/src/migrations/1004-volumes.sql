create table volumes (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  state text generated always as (data ->> 'state') stored,
  name text generated always as (data ->> 'name') stored,
  pool text generated always as (data ->> 'pool') stored,
  vm_id text generated always as (data ->> 'vmId') stored,
  constraint volumes_pk primary key (id)
);
create index volumes_newest on volumes (created_at desc, id desc);
create index volumes_by_state on volumes (state, created_at desc, id desc);
create index volumes_by_vm on volumes (vm_id, created_at desc, id desc);
