-- The service's own view of reserved addresses, written in the transaction of the events it follows from.
create table addresses (
  id text primary key,
  tenant text not null,
  network text not null references networks,
  address inet not null,
  status text not null,
  version integer not null,
  view jsonb not null
);
-- An address is reserved once, whatever the streams say.
create unique index addresses_of_network on addresses (network, address) where status <> 'deleted';
create index addresses_of_vm on addresses ((view ->> 'vmId')) where status = 'bound';
create index addresses_unsettled on addresses ((view ->> 'unsettled')) where status = 'bound';
