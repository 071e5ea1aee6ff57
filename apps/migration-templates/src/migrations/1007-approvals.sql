-- Moves that wait until somebody approves of their switch-over: the task that is answered then (its latest execution), and until when.

create table approvals (
  move_id text primary key,
  migration_id text not null,
  tenant text not null,
  dispatch jsonb not null,
  correlation_id text not null,
  started_at timestamptz not null,
  due_at timestamptz not null
);
create index approvals_due on approvals (due_at);
create index approvals_of_migration on approvals (migration_id);
