-- Which hosts have a part of which segment, as they say themselves, and the version of the word that each is told of the others. Versions
-- only rise, also in a database that was made anew: a host does not take again what it heard before.
create table segments (vni integer primary key, version bigint not null);
create table segment_parts (
  vni integer not null references segments, host_id text not null, address text not null,
  primary key (vni, host_id));
create index segment_parts_of_host on segment_parts (host_id);
