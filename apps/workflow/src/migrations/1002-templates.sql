-- Beside the log: the versions of templates, for reading by name. Rows change in `retired` alone.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists templates (
  name text not null,
  version int not null,
  definition jsonb not null,
  at timestamptz not null,
  retired boolean not null default false,
  primary key (name, version)
);
