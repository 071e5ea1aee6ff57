/**
 * What stands beside the log, written in the transaction of the events it follows from:
 * - `hosts`: each host as its stream says, with the sum of what is held there;
 * - `ledger`: who holds what where. A consumer has one row: it holds on one host at a time;
 * - `owners`: the VMs and moves that other contexts told of, and whether they have ended: whose holds may be there, and whose a VM is. Read facts;
 * - `host_connections`: what the agent gateway said last of a host's session. A read fact: no event of ours follows from it;
 * - `released`: a workflow's release of a consumer. A placement of the same workflow that was sent before it and comes after is refused;
 *   forgotten after a week, which no task outlives;
 *
 * The ledger guards itself: a trigger keeps `hosts.*_held`, and a CHECK refuses any statement, also one typed by hand, that would put
 * a host over its capacity. Where a host reported less than is held on it, `ceiling` is what was held: it may fall, never rise.
 */
export const tables: readonly string[] = [
  `
  create table if not exists \${schema}.hosts (
    host text primary key,
    facts jsonb not null,
    state text not null,
    version integer not null,
    vcpu_capacity bigint not null, memory_mib_capacity bigint not null, disk_mib_capacity bigint not null,
    vcpu_ceiling bigint not null, memory_mib_ceiling bigint not null, disk_mib_ceiling bigint not null,
    vcpu_held bigint not null default 0, memory_mib_held bigint not null default 0, disk_mib_held bigint not null default 0,
    constraint hosts_not_below_zero check (vcpu_held >= 0 and memory_mib_held >= 0 and disk_mib_held >= 0),
    constraint hosts_not_over_capacity
      check (vcpu_held <= vcpu_ceiling and memory_mib_held <= memory_mib_ceiling and disk_mib_held <= disk_mib_ceiling)
  );
  create table if not exists \${schema}.ledger (
    consumer text primary key check (consumer ~ '^(vm|move):'),
    host text not null references \${schema}.hosts (host),
    vm text not null,
    vcpu bigint not null check (vcpu >= 0),
    memory_mib bigint not null check (memory_mib >= 0),
    disk_mib bigint not null check (disk_mib >= 0)
  );
  alter table \${schema}.hosts drop constraint if exists hosts_state_check;
  alter table \${schema}.hosts add constraint hosts_state_check check (state in ('enabled', 'cordoned', 'draining', 'retiring', 'lost'));
  alter table \${schema}.ledger add column if not exists since timestamptz not null default now();
  create table if not exists \${schema}.owners (
    consumer text primary key,
    ended boolean not null
  );
  alter table \${schema}.owners add column if not exists tenant text;
  create index if not exists ledger_by_host on \${schema}.ledger (host);
  create index if not exists ledger_by_vm on \${schema}.ledger (vm);
  create table if not exists \${schema}.host_connections (
    host text primary key,
    session text not null,
    connected boolean not null,
    reason text,
    since timestamptz not null
  );
  create table if not exists \${schema}.released (
    consumer text not null,
    workflow text not null,
    token bigint not null,
    primary key (consumer, workflow)
  );
  alter table \${schema}.released add column if not exists at timestamptz not null default now();
  create index if not exists released_by_age on \${schema}.released (at);`,
  // One statement may change several rows of a host (a swap in place): the sum of its changes counts, hence transition tables.
  `
  create or replace function \${schema}.ledger_sums() returns trigger language plpgsql as $$
  begin
    if tg_op = 'INSERT' then
      perform \${schema}.ledger_add(host, sum(vcpu)::bigint, sum(memory_mib)::bigint, sum(disk_mib)::bigint) from added group by host order by host;
    elsif tg_op = 'DELETE' then
      perform \${schema}.ledger_add(host, -sum(vcpu)::bigint, -sum(memory_mib)::bigint, -sum(disk_mib)::bigint) from gone group by host order by host;
    else
      perform \${schema}.ledger_add(host, sum(vcpu)::bigint, sum(memory_mib)::bigint, sum(disk_mib)::bigint) from (
        select host, vcpu, memory_mib, disk_mib from added
        union all select host, -vcpu, -memory_mib, -disk_mib from gone
      ) changes group by host order by host;
    end if;
    return null;
  end $$;
  create or replace function \${schema}.ledger_add(h text, v bigint, m bigint, d bigint) returns void language sql as $$
    update \${schema}.hosts set
      vcpu_ceiling = greatest(vcpu_capacity, vcpu_held), vcpu_held = vcpu_held + v,
      memory_mib_ceiling = greatest(memory_mib_capacity, memory_mib_held), memory_mib_held = memory_mib_held + m,
      disk_mib_ceiling = greatest(disk_mib_capacity, disk_mib_held), disk_mib_held = disk_mib_held + d
    where host = h
  $$;
  create or replace trigger ledger_insert after insert on \${schema}.ledger
    referencing new table as added for each statement execute function \${schema}.ledger_sums();
  create or replace trigger ledger_delete after delete on \${schema}.ledger
    referencing old table as gone for each statement execute function \${schema}.ledger_sums();
  create or replace trigger ledger_update after update on \${schema}.ledger
    referencing old table as gone new table as added for each statement execute function \${schema}.ledger_sums();`,
];
