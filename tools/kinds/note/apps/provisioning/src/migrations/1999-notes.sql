create table notes (note text primary key, tenant text not null);
