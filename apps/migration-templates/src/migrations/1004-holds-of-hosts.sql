-- Who holds on a host, a row each: as one document of the host each hold wrote all of them anew. Rows of before have the amounts of a hold
-- alone, and keep them.
create table known_holds (
  host_id text,
  consumer text,
  hold jsonb not null,
  primary key (host_id, consumer)
);
insert into known_holds (host_id, consumer, hold) select host_id, h.key, h.value from known_hosts, jsonb_each(host -> 'holds') h;
update known_hosts set host = host - 'holds';
