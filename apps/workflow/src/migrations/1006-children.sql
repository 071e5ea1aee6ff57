-- A row per sub-workflow from before its start to its end: so that whoever finds that its parent does not want it any more can cancel it,
-- also where the instance that began it was killed in between. `token` is of the parent's execution.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists children (
  workflow_id text primary key,
  parent_id text not null,
  token float8 not null,
  noted_at timestamptz not null default clock_timestamp(),
  checked_at timestamptz not null default clock_timestamp()
) with (fillfactor = 80);
create index if not exists children_parent on children (parent_id);
create index if not exists children_checked on children (checked_at);
