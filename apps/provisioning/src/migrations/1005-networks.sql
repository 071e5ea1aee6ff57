-- The service's own view of networks and of who has which of their addresses, written in the transaction of the events it follows from.
create table networks (
  network text primary key,
  tenant text not null,
  status text not null,
  version integer not null,
  subnet cidr not null
);
create index networks_of_tenant on networks (tenant, network);

-- An address is one VM's, and a VM has one on a network: the network's stream decides it, and these keys hold it to that.
create table network_addresses (
  network text not null references networks,
  address inet not null,
  vm text not null,
  primary key (network, address),
  unique (network, vm)
);
create index network_addresses_of_vm on network_addresses (vm);

-- A segment's number is never another network's again: a host that was away may still have the old one's.
create sequence network_vni minvalue 4096 start 4096;
