create table known_pools (
  pool_id text primary key,
  version int not null,
  pool jsonb not null
);
