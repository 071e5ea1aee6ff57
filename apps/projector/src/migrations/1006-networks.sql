create table networks (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  state text generated always as (data ->> 'state') stored,
  name text generated always as (data ->> 'name') stored,
  constraint networks_pk primary key (id)
);
create index networks_newest on networks (created_at desc, id desc);
create index networks_by_state on networks (state, created_at desc, id desc);
