-- Consoles that are open, so that the end of one whose gateway was killed is told when that is back.
create table open_consoles (
  session text primary key, instance text not null, vm_id text not null, host_id text not null, actor text not null, tenant text not null);
