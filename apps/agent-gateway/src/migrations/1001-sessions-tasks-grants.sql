-- Beside the log: what must be found by other keys than the stream's.
--
-- "if not exists": a database of the time before numbered files has these, and keeps what it has.

create table if not exists tenant_keys (
  tenant text not null, kid text not null, public_key_jwk jsonb not null,
  primary key (kid, tenant));

-- Which grants may cover a VM; the grant's own stream decides.
create table if not exists grant_vms (
  vm_id text not null, grant_id text not null, expires_at timestamptz not null, registered_at timestamptz not null,
  primary key (vm_id, grant_id));

create table if not exists vm_tenants (vm_id text primary key, tenant text not null);

-- seq: the order in which a host gets its tasks.
create table if not exists pending_tasks (
  task_key text primary key, seq bigint generated always as identity, host_id text not null,
  dispatch jsonb not null, meta jsonb not null, grant_jws text,
  state text not null check (state in ('pending', 'reported', 'expired')),
  deadline_at timestamptz not null, ended_at timestamptz);
create index if not exists pending_tasks_of_host on pending_tasks (host_id, seq) where state = 'pending';
create index if not exists pending_tasks_by_deadline on pending_tasks (deadline_at) where state = 'pending';
create index if not exists pending_tasks_ended on pending_tasks (ended_at) where state <> 'pending';

-- Which grant covers a task, whether the task was ever on its way to its host, and whether the grant was taken back since.
create table if not exists granted_tasks (
  task_key text primary key references pending_tasks on delete cascade, grant_id text not null,
  sent boolean not null default false, revoked boolean not null default false);
create index if not exists granted_tasks_of_grant on granted_tasks (grant_id) where not revoked;

-- Offers whose window is open, for agents that connect meanwhile.
create table if not exists open_offers (
  offer_key text primary key, offer jsonb not null, closes_at timestamptz not null);
create index if not exists open_offers_by_close on open_offers (closes_at);

-- generation: rises with each connection of a host, so that a late word about an older one is known as such.
create table if not exists agent_sessions (
  host_id text primary key, session_id text not null, connection_id text not null, generation bigint not null,
  facts_hash text not null,
  last_seen timestamptz not null, lost boolean not null);
create index if not exists agent_sessions_seen on agent_sessions (last_seen) where not lost;

-- Who has a host: one key that is not released, and the instance of it that was welcomed last. Released keys stay, and are refused.
create table if not exists agent_identities (
  host_id text not null, key text not null, instance text not null, released_at timestamptz, primary key (host_id, key));
create unique index if not exists agent_identities_current on agent_identities (host_id) where released_at is null;

-- The last refusal of a second agent that was told, so that one which asks again and again is told now and then.
create table if not exists agent_refusals (host_id text primary key, code text not null, key text not null, told_at timestamptz not null);

-- What was told of each host's clock.
create table if not exists agent_clocks (host_id text primary key, skew_ms bigint not null);

-- Where VMs are by their own streams, and what was last recorded of each: observed, by whom, at which epoch.
create table if not exists vm_places (
  vm_id text primary key, tenant text not null, host_id text not null, epoch integer not null,
  observed jsonb, told_host text, told_epoch integer);
