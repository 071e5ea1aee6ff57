set search_path to read;
create table vms (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint vms_pk primary key (id)
);
create index vms_newest on vms (created_at desc, id desc);
create index vms_by_state on vms ((data ->> 'state'), created_at desc, id desc);
create index vms_by_hostid on vms ((data ->> 'hostId'), created_at desc, id desc);

create table host_inventory (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint host_inventory_pk primary key (id)
);
create index host_inventory_newest on host_inventory (created_at desc, id desc);

create table host_agents (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint host_agents_pk primary key (id)
);
create index host_agents_newest on host_agents (created_at desc, id desc);

create table allocations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint allocations_pk primary key (id)
);
create index allocations_newest on allocations (created_at desc, id desc);
create index allocations_by_hostid on allocations ((data ->> 'hostId'), created_at desc, id desc);
create index allocations_by_vmid on allocations ((data ->> 'vmId'), created_at desc, id desc);

create table vm_types (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint vm_types_pk primary key (id)
);
create index vm_types_newest on vm_types (created_at desc, id desc);

create table images (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint images_pk primary key (id)
);
create index images_newest on images (created_at desc, id desc);

create table templates (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint templates_pk primary key (id)
);
create index templates_newest on templates (created_at desc, id desc);

create table options_queries (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint options_queries_pk primary key (id)
);
create index options_queries_newest on options_queries (created_at desc, id desc);

create table characterisations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint characterisations_pk primary key (id)
);
create index characterisations_newest on characterisations (created_at desc, id desc);

create table plans (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint plans_pk primary key (id)
);
create index plans_newest on plans (created_at desc, id desc);

create table migrations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint migrations_pk primary key (id)
);
create index migrations_newest on migrations (created_at desc, id desc);
create index migrations_by_state on migrations ((data ->> 'state'), created_at desc, id desc);

create table moves (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint moves_pk primary key (id)
);
create index moves_newest on moves (created_at desc, id desc);
create index moves_by_migrationid on moves ((data ->> 'migrationId'), created_at desc, id desc);
create index moves_by_vmid on moves ((data ->> 'vmId'), created_at desc, id desc);
create index moves_by_workflowid on moves ((data ->> 'workflowId'), created_at desc, id desc);

create table workflows (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint workflows_pk primary key (id)
);
create index workflows_newest on workflows (created_at desc, id desc);
create index workflows_by_state on workflows ((data ->> 'state'), created_at desc, id desc);
create index workflows_by_subject on workflows ((data ->> 'subject'), created_at desc, id desc);

create table workflow_graphs (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint workflow_graphs_pk primary key (id)
);
create index workflow_graphs_newest on workflow_graphs (created_at desc, id desc);

create table tasks (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint tasks_pk primary key (id)
);
create index tasks_newest on tasks (created_at desc, id desc);
create index tasks_by_workflowid on tasks ((data ->> 'workflowId'), created_at desc, id desc);

create table operations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint operations_pk primary key (id)
);
create index operations_newest on operations (created_at desc, id desc);
create index operations_by_state on operations ((data ->> 'state'), created_at desc, id desc);
create index operations_by_subject on operations ((data ->> 'subject'), created_at desc, id desc);

create table grants (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint grants_pk primary key (id)
);
create index grants_newest on grants (created_at desc, id desc);

create table feed (
  position bigint generated by default as identity, event_id uuid not null, type text not null, stream text not null,
  version integer not null, at timestamptz not null, tenant text not null, actor text not null,
  correlation_id text not null, causation_id text, data jsonb not null,
  constraint feed_pk primary key (position)
);
create unique index feed_event on feed (event_id);
create index feed_stream on feed (stream, position);
create index feed_tenant on feed (tenant, position);
create view hosts as
select coalesce(i.id, a.id) as id, coalesce(i.version, 0) + coalesce(a.version, 0) as version, coalesce(i.tenant, a.tenant) as tenant,
  least(i.created_at, a.created_at) as created_at, greatest(i.updated_at, a.updated_at) as updated_at,
  coalesce(i.data, jsonb_build_object('hostId', a.id, 'state', 'unregistered'))
    || jsonb_build_object('connected', coalesce((a.data ->> 'connected')::boolean, false), 'generation', coalesce(i.version, 0),
      'agent', coalesce(a.data - 'hostId' - 'connected', '{}')) as data
from host_inventory i full join host_agents a on a.id = i.id;
create table vm_observations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint vm_observations_pk primary key (id)
);
create table read_model_migrations (id serial primary key, "timestamp" bigint not null, name character varying not null);
insert into read_model_migrations ("timestamp", name) values (1795424400000, 'ReadModels1795424400000'), (1795872000000, 'VmObservations1795872000000');

set search_path to default;
insert into read.allocations (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.characterisations (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.checkpoints (name, position, detail, at) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into read.events (stream_id, version, id, type, data, meta, at) values ('a', 1, '0199c0de-0000-7000-8000-000000000001', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into read.feed (event_id, type, stream, version, at, tenant, actor, correlation_id, causation_id, data) values ('0199c0de-0000-7000-8000-000000000001', 'a', 'a', 1, '2026-01-02T03:04:05Z', 'a', 'a', 'a', 'a', '{"a": 1}');
insert into read.grants (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.host_agents (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.host_inventory (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.idempotency (tenant, key, route, request_hash, answer, at) values ('a', 'a', 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into read.images (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.inbox (consumer, event_id, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into read.migrations (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.moves (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.operations (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.options_queries (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.parked (consumer, key, event_id, topic, event, reason, attempts, redrive, at) values ('a', 'a', 'a', 'a', '{"a": 1}', 'a', 1, true, '2026-01-02T03:04:05Z');
insert into read.plans (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.tasks (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.templates (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.vm_observations (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.vm_types (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.vms (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.workflow_graphs (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
insert into read.workflows (id, version, tenant, created_at, updated_at, data) values ('a', 1, 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z', '{"a": 1}');
