-- What each VM was last seen to do, by its host: a stream of its own, and so a row of its own.

create table if not exists vm_observations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint vm_observations_pk primary key (id)
);
