-- What readers filter and join by, as columns: PostgreSQL fills them from the document, so they cannot differ from it. Each index goes on in
-- the order of a list, so a page with a filter is read from it alone, newest first, as it was from the expressions.
-- Each table is written anew once, and cannot be read meanwhile.

alter table vms
  add column state text generated always as (data ->> 'state') stored,
  add column host_id text generated always as (data ->> 'hostId') stored,
  add column type text generated always as (data ->> 'type') stored,
  add column name text generated always as (data ->> 'name') stored;
drop index vms_by_state, vms_by_hostid;
create index vms_by_state on vms (state, created_at desc, id desc);
create index vms_by_host on vms (host_id, created_at desc, id desc);

alter table allocations
  add column state text generated always as (data ->> 'state') stored,
  add column host_id text generated always as (data ->> 'hostId') stored,
  add column vm_id text generated always as (data ->> 'vmId') stored;
drop index allocations_by_hostid, allocations_by_vmid;
create index allocations_by_host on allocations (host_id, created_at desc, id desc);
create index allocations_by_vm on allocations (vm_id, created_at desc, id desc);

alter table migrations
  add column state text generated always as (data ->> 'state') stored;
drop index migrations_by_state;
create index migrations_by_state on migrations (state, created_at desc, id desc);

alter table moves
  add column state text generated always as (data ->> 'state') stored,
  add column migration_id text generated always as (data ->> 'migrationId') stored,
  add column vm_id text generated always as (data ->> 'vmId') stored,
  add column workflow_id text generated always as (data ->> 'workflowId') stored;
drop index moves_by_migrationid, moves_by_vmid, moves_by_workflowid;
create index moves_by_migration on moves (migration_id, created_at desc, id desc);
create index moves_by_vm on moves (vm_id, created_at desc, id desc);
create index moves_by_workflow on moves (workflow_id, created_at desc, id desc);

alter table workflows
  add column state text generated always as (data ->> 'state') stored,
  add column subject text generated always as (data ->> 'subject') stored,
  add column name text generated always as (data ->> 'name') stored;
drop index workflows_by_state, workflows_by_subject;
create index workflows_by_state on workflows (state, created_at desc, id desc);
create index workflows_by_subject on workflows (subject, created_at desc, id desc);

alter table tasks
  add column workflow_id text generated always as (data ->> 'workflowId') stored;
drop index tasks_by_workflowid;
create index tasks_by_workflow on tasks (workflow_id, created_at desc, id desc);

alter table operations
  add column state text generated always as (data ->> 'state') stored,
  add column subject text generated always as (data ->> 'subject') stored,
  add column kind text generated always as (data ->> 'kind') stored;
drop index operations_by_state, operations_by_subject;
create index operations_by_state on operations (state, created_at desc, id desc);
create index operations_by_subject on operations (subject, created_at desc, id desc);

alter table grants
  add column state text generated always as (data ->> 'state') stored;

create or replace view hosts as
select coalesce(i.id, a.id) as id, coalesce(i.version, 0) + coalesce(a.version, 0) as version, coalesce(i.tenant, a.tenant) as tenant,
  least(i.created_at, a.created_at) as created_at, greatest(i.updated_at, a.updated_at) as updated_at,
  coalesce(i.data, jsonb_build_object('hostId', a.id, 'state', 'unregistered'))
    || jsonb_build_object('connected', coalesce((a.data ->> 'connected')::boolean, false), 'generation', coalesce(i.version, 0),
      'agent', coalesce(a.data - 'hostId' - 'connected', '{}')) as data,
  case when i.id is null then 'unregistered' else i.data ->> 'state' end as state
from host_inventory i full join host_agents a on a.id = i.id;
