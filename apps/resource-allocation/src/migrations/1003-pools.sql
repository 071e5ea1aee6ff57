-- Storage pools as their streams say, written in the transaction of the events. `held_mib` is the sum of the pool's rows in `pool_holds`: a
-- decision reads this row, locked, and the rows of those it is about, in place of a stream that has two events for each VM there ever was.
create table pools (
  pool text primary key,
  name text not null,
  kind text not null,
  version integer not null,
  room jsonb not null,
  settings jsonb not null,
  held_mib bigint not null default 0,
  constraint pools_not_below_zero check (held_mib >= 0)
);

create table pool_holds (
  pool text not null references pools (pool),
  consumer text not null check (consumer ~ '^(vm|move|volume):'),
  vm text,
  size_mib bigint not null check (size_mib >= 0),
  since timestamptz not null default now(),
  primary key (pool, consumer)
);
create index pool_holds_by_consumer on pool_holds (consumer);
