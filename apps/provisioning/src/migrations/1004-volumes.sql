-- The service's own view of volumes, written in the transaction of the events it follows from.
create table volumes (
  volume text primary key,
  tenant text not null,
  status text not null,
  version integer not null,
  view jsonb not null
);
create index volumes_of_tenant on volumes (tenant, volume);
