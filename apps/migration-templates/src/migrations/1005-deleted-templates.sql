-- When a template was deleted, and by which one a migration goes: one that goes by a template keeps it from being deleted.

alter table templates add column if not exists deleted_at timestamptz;
alter table migrations add column if not exists template text;
update migrations m
  set template = (select e.data -> 'plan' -> 'basis' -> 'template' ->> 'name' from events e where e.stream_id = 'migration-' || m.migration_id and e.type like '%.migration.requested.v1' limit 1)
  where template is null;
create index if not exists migrations_of_template on migrations (template);
