create table pools (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  name text generated always as (data ->> 'name') stored,
  constraint pools_pk primary key (id)
);
create index pools_newest on pools (created_at desc, id desc);

-- One row for each consumer in each pool, kept when it ends, as with allocations.
create table pool_holds (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  state text generated always as (data ->> 'state') stored,
  pool_id text generated always as (data ->> 'poolId') stored,
  constraint pool_holds_pk primary key (id)
);
create index pool_holds_by_pool on pool_holds (pool_id, created_at desc, id desc);
