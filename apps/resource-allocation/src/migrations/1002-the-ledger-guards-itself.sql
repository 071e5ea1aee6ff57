-- The ledger guards itself: a trigger keeps `hosts.*_held`, and a CHECK refuses any statement, also one typed by hand, that would put a host
-- over its capacity. Where a host reported less than is held on it, `ceiling` is what was held: it may fall, never rise.
-- One statement may change several rows of a host (a swap in place): the sum of its changes counts, hence transition tables.
-- Services have no search path: the functions keep the one they were made with.

create or replace function ledger_add(h text, v bigint, m bigint, d bigint) returns void language sql set search_path from current as $$
  update hosts set
    vcpu_ceiling = greatest(vcpu_capacity, vcpu_held), vcpu_held = vcpu_held + v,
    memory_mib_ceiling = greatest(memory_mib_capacity, memory_mib_held), memory_mib_held = memory_mib_held + m,
    disk_mib_ceiling = greatest(disk_mib_capacity, disk_mib_held), disk_mib_held = disk_mib_held + d
  where host = h
$$;

create or replace function ledger_sums() returns trigger language plpgsql set search_path from current as $$
begin
  if tg_op = 'INSERT' then
    perform ledger_add(host, sum(vcpu)::bigint, sum(memory_mib)::bigint, sum(disk_mib)::bigint) from added group by host order by host;
  elsif tg_op = 'DELETE' then
    perform ledger_add(host, -sum(vcpu)::bigint, -sum(memory_mib)::bigint, -sum(disk_mib)::bigint) from gone group by host order by host;
  else
    perform ledger_add(host, sum(vcpu)::bigint, sum(memory_mib)::bigint, sum(disk_mib)::bigint) from (
      select host, vcpu, memory_mib, disk_mib from added
      union all select host, -vcpu, -memory_mib, -disk_mib from gone
    ) changes group by host order by host;
  end if;
  return null;
end $$;

create or replace trigger ledger_insert after insert on ledger
  referencing new table as added for each statement execute function ledger_sums();
create or replace trigger ledger_delete after delete on ledger
  referencing old table as gone for each statement execute function ledger_sums();
create or replace trigger ledger_update after update on ledger
  referencing old table as gone new table as added for each statement execute function ledger_sums();
