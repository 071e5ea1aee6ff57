set search_path to migration_templates;
create table if not exists migration_templates.known_vms (
  vm_id text primary key,
  tenant text not null,
  version int not null,
  vm jsonb not null
);
create table if not exists migration_templates.known_observed (
  vm_id text primary key,
  version int not null,
  host_id text not null,
  epoch int not null,
  observed jsonb not null
);
create table if not exists migration_templates.known_types (
  ref text primary key,
  name text not null,
  version int not null,
  spec jsonb not null
);
create table if not exists migration_templates.known_hosts (
  host_id text primary key,
  version int not null,
  host jsonb not null
);
create table if not exists migration_templates.known_grants (
  grant_id text primary key,
  tenant text not null,
  claims jsonb not null,
  jws text not null,
  revoked text
);
create table if not exists migration_templates.characterisations (
  vm_id text primary key,
  characterisation jsonb not null
);
create table if not exists migration_templates.templates (
  name text not null,
  version int not null,
  spec jsonb not null,
  at timestamptz not null,
  retired boolean not null default false,
  primary key (name, version)
);
alter table migration_templates.templates add column if not exists tenant text;
update migration_templates.templates t
  set tenant = coalesce(case when t.name ~ '^(relocate|become)-' then '*' end, (select e.meta ->> 'tenant' from migration_templates.events e where e.stream_id = 'template-' || t.name and e.version = 1), '*')
  where tenant is null;
alter table migration_templates.templates alter column tenant set not null;
create table if not exists migration_templates.migrations (
  migration_id text primary key,
  tenant text not null,
  at timestamptz not null
);
create index if not exists migrations_of_tenant on migration_templates.migrations (tenant, at desc, migration_id);
create table if not exists migration_templates.runs (
  run_id text primary key,
  tenant text not null,
  input jsonb not null,
  dispatch jsonb not null,
  started_at timestamptz not null,
  migration_id text,
  results jsonb not null,
  outcome jsonb
);
create unique index if not exists runs_of_migration on migration_templates.runs (migration_id) where migration_id is not null;
create table if not exists migration_templates.moves (
  move_id text primary key,
  migration_id text not null,
  vm_id text not null,
  started_at timestamptz,
  ended_at timestamptz
);
alter table migration_templates.moves add column if not exists state text;
create unique index if not exists moves_one_per_vm on migration_templates.moves (vm_id) where ended_at is null;
create index if not exists moves_of_migration on migration_templates.moves (migration_id);
create table if not exists migration_templates.move_tasks (
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
create table if not exists migration_templates.known_agents (
  host_id text primary key,
  version int not null,
  away text
);
alter table migration_templates.known_grants add column if not exists used int not null default 0;
-- By the control plane's clock: when the guest was last told to have started anew, and when it was characterised.
alter table migration_templates.known_observed add column if not exists reset_at timestamptz;
alter table migration_templates.characterisations add column if not exists found_at timestamptz;

set search_path to default;
insert into migration_templates.characterisations (vm_id, characterisation, found_at) values ('a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into migration_templates.checkpoints (name, position, detail, at) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into migration_templates.events (stream_id, version, id, type, data, meta, at) values ('a', 1, '0199c0de-0000-7000-8000-000000000001', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into migration_templates.idempotency (tenant, key, route, request_hash, answer, at) values ('a', 'a', 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into migration_templates.inbox (consumer, event_id, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into migration_templates.known_agents (host_id, version, away) values ('a', 1, 'a');
insert into migration_templates.known_grants (grant_id, tenant, claims, jws, revoked, used) values ('a', 'a', '{"a": 1}', 'a', 'a', 1);
insert into migration_templates.known_hosts (host_id, version, host) values ('a', 1, '{"a": 1}');
insert into migration_templates.known_observed (vm_id, version, host_id, epoch, observed, reset_at) values ('a', 1, 'a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into migration_templates.known_types (ref, name, version, spec) values ('a', 'a', 1, '{"a": 1}');
insert into migration_templates.known_vms (vm_id, tenant, version, vm) values ('a', 'a', 1, '{"a": 1}');
insert into migration_templates.migrations (migration_id, tenant, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into migration_templates.move_tasks (move_id, task, place, section, kind, state, started_at, ended_at, cause) values ('a', 'a', 1, 'a', 'a', 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into migration_templates.moves (move_id, migration_id, vm_id, started_at, ended_at, state) values ('a', 'a', 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', 'a');
insert into migration_templates.parked (consumer, key, event_id, topic, event, reason, attempts, redrive, at) values ('a', 'a', 'a', 'a', '{"a": 1}', 'a', 1, true, '2026-01-02T03:04:05Z');
insert into migration_templates.runs (run_id, tenant, input, dispatch, started_at, migration_id, results, outcome) values ('a', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z', 'a', '{"a": 1}', '{"a": 1}');
insert into migration_templates.templates (name, version, spec, at, retired, tenant) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z', true, 'a');
