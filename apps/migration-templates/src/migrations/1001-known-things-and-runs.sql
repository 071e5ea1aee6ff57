-- What other contexts' events told (`known_*`, each row at the version of its stream), and what this service must look up besides its own
-- streams. All of it can be made anew from events, but for `runs`: the tasks `migration.run` that are under way or have ended, each with what
-- became of its VMs, written in the transaction of the events it follows from.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists known_vms (
  vm_id text primary key,
  tenant text not null,
  version int not null,
  vm jsonb not null
);

create table if not exists known_observed (
  vm_id text primary key,
  version int not null,
  host_id text not null,
  epoch int not null,
  observed jsonb not null
);

create table if not exists known_types (
  ref text primary key,
  name text not null,
  version int not null,
  spec jsonb not null
);

create table if not exists known_hosts (
  host_id text primary key,
  version int not null,
  host jsonb not null
);

create table if not exists known_grants (
  grant_id text primary key,
  tenant text not null,
  claims jsonb not null,
  jws text not null,
  revoked text
);

create table if not exists characterisations (
  vm_id text primary key,
  characterisation jsonb not null
);

create table if not exists templates (
  name text not null,
  version int not null,
  spec jsonb not null,
  at timestamptz not null,
  retired boolean not null default false,
  primary key (name, version)
);
alter table templates add column if not exists tenant text;
update templates t
  set tenant = coalesce(case when t.name ~ '^(relocate|become)-' then '*' end, (select e.meta ->> 'tenant' from events e where e.stream_id = 'template-' || t.name and e.version = 1), '*')
  where tenant is null;
alter table templates alter column tenant set not null;

create table if not exists migrations (
  migration_id text primary key,
  tenant text not null,
  at timestamptz not null
);
create index if not exists migrations_of_tenant on migrations (tenant, at desc, migration_id);

create table if not exists runs (
  run_id text primary key,
  tenant text not null,
  input jsonb not null,
  dispatch jsonb not null,
  started_at timestamptz not null,
  migration_id text,
  results jsonb not null,
  outcome jsonb
);
create unique index if not exists runs_of_migration on runs (migration_id) where migration_id is not null;

create table if not exists moves (
  move_id text primary key,
  migration_id text not null,
  vm_id text not null,
  started_at timestamptz,
  ended_at timestamptz
);
alter table moves add column if not exists state text;
create unique index if not exists moves_one_per_vm on moves (vm_id) where ended_at is null;
create index if not exists moves_of_migration on moves (migration_id);

create table if not exists move_tasks (
  move_id text not null,
  task text not null,
  place int not null,
  section text not null,
  kind text not null,
  state text not null,
  started_at timestamptz,
  ended_at timestamptz,
  cause jsonb,
  primary key (move_id, task)
);

create table if not exists known_agents (
  host_id text primary key,
  version int not null,
  away text
);
alter table known_grants add column if not exists used int not null default 0;
-- By the control plane's clock: when the guest was last told to have started anew, and when it was characterised.
alter table known_observed add column if not exists reset_at timestamptz;
alter table characterisations add column if not exists found_at timestamptz;
