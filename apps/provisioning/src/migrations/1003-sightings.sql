-- What the host of each VM saw last, for restart policies: an observation may come while an action or a move has the VM, and is not said
-- again when that ends. `look_at` is the durable timer: by then it is to be considered whether the VM is started again.
create table sightings (
  vm text primary key,
  version integer not null,
  host text not null,
  epoch integer not null,
  observed jsonb not null,
  look_at timestamptz
);
create index sightings_due on sightings (look_at) where look_at is not null;
