-- A row of a read model: an id, the version of the stream it was made from, and the document that readers get. What readers filter by
-- has an index on an expression over `data`.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists vms (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint vms_pk primary key (id)
);
create index if not exists vms_newest on vms (created_at desc, id desc);
create index if not exists vms_by_state on vms ((data ->> 'state'), created_at desc, id desc);
create index if not exists vms_by_hostid on vms ((data ->> 'hostId'), created_at desc, id desc);

create table if not exists host_inventory (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint host_inventory_pk primary key (id)
);
create index if not exists host_inventory_newest on host_inventory (created_at desc, id desc);

create table if not exists host_agents (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint host_agents_pk primary key (id)
);
create index if not exists host_agents_newest on host_agents (created_at desc, id desc);

create table if not exists allocations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint allocations_pk primary key (id)
);
create index if not exists allocations_newest on allocations (created_at desc, id desc);
create index if not exists allocations_by_hostid on allocations ((data ->> 'hostId'), created_at desc, id desc);
create index if not exists allocations_by_vmid on allocations ((data ->> 'vmId'), created_at desc, id desc);

create table if not exists vm_types (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint vm_types_pk primary key (id)
);
create index if not exists vm_types_newest on vm_types (created_at desc, id desc);

create table if not exists images (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint images_pk primary key (id)
);
create index if not exists images_newest on images (created_at desc, id desc);

create table if not exists templates (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint templates_pk primary key (id)
);
create index if not exists templates_newest on templates (created_at desc, id desc);

create table if not exists options_queries (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint options_queries_pk primary key (id)
);
create index if not exists options_queries_newest on options_queries (created_at desc, id desc);

create table if not exists characterisations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint characterisations_pk primary key (id)
);
create index if not exists characterisations_newest on characterisations (created_at desc, id desc);

create table if not exists plans (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint plans_pk primary key (id)
);
create index if not exists plans_newest on plans (created_at desc, id desc);

create table if not exists migrations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint migrations_pk primary key (id)
);
create index if not exists migrations_newest on migrations (created_at desc, id desc);
create index if not exists migrations_by_state on migrations ((data ->> 'state'), created_at desc, id desc);

create table if not exists moves (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint moves_pk primary key (id)
);
create index if not exists moves_newest on moves (created_at desc, id desc);
create index if not exists moves_by_migrationid on moves ((data ->> 'migrationId'), created_at desc, id desc);
create index if not exists moves_by_vmid on moves ((data ->> 'vmId'), created_at desc, id desc);
create index if not exists moves_by_workflowid on moves ((data ->> 'workflowId'), created_at desc, id desc);

create table if not exists workflows (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint workflows_pk primary key (id)
);
create index if not exists workflows_newest on workflows (created_at desc, id desc);
create index if not exists workflows_by_state on workflows ((data ->> 'state'), created_at desc, id desc);
create index if not exists workflows_by_subject on workflows ((data ->> 'subject'), created_at desc, id desc);

create table if not exists workflow_graphs (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint workflow_graphs_pk primary key (id)
);
create index if not exists workflow_graphs_newest on workflow_graphs (created_at desc, id desc);

create table if not exists tasks (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint tasks_pk primary key (id)
);
create index if not exists tasks_newest on tasks (created_at desc, id desc);
create index if not exists tasks_by_workflowid on tasks ((data ->> 'workflowId'), created_at desc, id desc);

create table if not exists operations (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint operations_pk primary key (id)
);
create index if not exists operations_newest on operations (created_at desc, id desc);
create index if not exists operations_by_state on operations ((data ->> 'state'), created_at desc, id desc);
create index if not exists operations_by_subject on operations ((data ->> 'subject'), created_at desc, id desc);

create table if not exists grants (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  constraint grants_pk primary key (id)
);
create index if not exists grants_newest on grants (created_at desc, id desc);

create table if not exists feed (
  position bigint generated by default as identity, event_id uuid not null, type text not null, stream text not null,
  version integer not null, at timestamptz not null, tenant text not null, actor text not null,
  correlation_id text not null, causation_id text, data jsonb not null,
  constraint feed_pk primary key (position)
);
create unique index if not exists feed_event on feed (event_id);
create index if not exists feed_stream on feed (stream, position);
create index if not exists feed_tenant on feed (tenant, position);

-- A host is known by its inventory, by its agent, or by both: two streams, in either order. Versions of both make the ETag.
create or replace view hosts as
select coalesce(i.id, a.id) as id, coalesce(i.version, 0) + coalesce(a.version, 0) as version, coalesce(i.tenant, a.tenant) as tenant,
  least(i.created_at, a.created_at) as created_at, greatest(i.updated_at, a.updated_at) as updated_at,
  coalesce(i.data, jsonb_build_object('hostId', a.id, 'state', 'unregistered'))
    || jsonb_build_object('connected', coalesce((a.data ->> 'connected')::boolean, false), 'generation', coalesce(i.version, 0),
      'agent', coalesce(a.data - 'hostId' - 'connected', '{}')) as data
from host_inventory i full join host_agents a on a.id = i.id;

-- What noted this before.
drop table if exists read_model_migrations;
