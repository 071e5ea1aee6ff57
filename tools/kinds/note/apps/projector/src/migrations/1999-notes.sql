create table notes (
  id text not null, version integer not null, tenant text not null,
  created_at timestamptz not null, updated_at timestamptz not null, data jsonb not null,
  state text generated always as (data ->> 'state') stored,
  name text generated always as (data ->> 'name') stored,
  constraint notes_pk primary key (id)
);
