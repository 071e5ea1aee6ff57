-- When somebody looks at a run again, since when it waits for what should settle by itself, and why it begins no further move. Runs that
-- were under way before there were looks are looked at as well.

alter table runs add column if not exists look_at timestamptz;
alter table runs add column if not exists correlation_id text;
alter table runs add column if not exists settling jsonb not null default '{}';
alter table runs add column if not exists stop jsonb;
update runs set look_at = now() where outcome is null and migration_id is not null;

create index if not exists runs_due on runs (look_at) where outcome is null;
create index if not exists runs_open on runs ((dispatch ->> 'workflowId')) where outcome is null;
create index if not exists known_vms_on_host on known_vms ((vm ->> 'hostId'));
