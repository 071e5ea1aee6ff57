set search_path to agent_gateway;
create table if not exists tenant_keys (
    tenant text not null, kid text not null, public_key_jwk jsonb not null,
    primary key (kid, tenant));
create table if not exists grant_vms (
    vm_id text not null, grant_id text not null, expires_at timestamptz not null, registered_at timestamptz not null,
    primary key (vm_id, grant_id));
create table if not exists vm_tenants (vm_id text primary key, tenant text not null);
create table if not exists pending_tasks (
    task_key text primary key, seq bigint generated always as identity, host_id text not null,
    dispatch jsonb not null, meta jsonb not null, grant_jws text,
    state text not null check (state in ('pending', 'reported', 'expired')),
    deadline_at timestamptz not null, ended_at timestamptz);
create index if not exists pending_tasks_of_host on pending_tasks (host_id, seq) where state = 'pending';
create index if not exists pending_tasks_by_deadline on pending_tasks (deadline_at) where state = 'pending';
create index if not exists pending_tasks_ended on pending_tasks (ended_at) where state <> 'pending';
create table if not exists granted_tasks (
    task_key text primary key references pending_tasks on delete cascade, grant_id text not null,
    sent boolean not null default false, revoked boolean not null default false);
create index if not exists granted_tasks_of_grant on granted_tasks (grant_id) where not revoked;
create table if not exists open_offers (
    offer_key text primary key, offer jsonb not null, closes_at timestamptz not null);
create index if not exists open_offers_by_close on open_offers (closes_at);
create table if not exists agent_sessions (
    host_id text primary key, session_id text not null, connection_id text not null, generation bigint not null,
    facts_hash text not null,
    last_seen timestamptz not null, lost boolean not null);
create table if not exists agent_identities (
    host_id text not null, key text not null, instance text not null, released_at timestamptz, primary key (host_id, key));
create unique index if not exists agent_identities_current on agent_identities (host_id) where released_at is null;
create table if not exists agent_refusals (host_id text primary key, code text not null, key text not null, told_at timestamptz not null);
create table if not exists agent_clocks (host_id text primary key, skew_ms bigint not null);
create index if not exists agent_sessions_seen on agent_sessions (last_seen) where not lost;
create table if not exists vm_places (
    vm_id text primary key, tenant text not null, host_id text not null, epoch integer not null,
    observed jsonb, told_host text, told_epoch integer);

set search_path to default;
insert into agent_gateway.pending_tasks (task_key, host_id, dispatch, meta, grant_jws, state, deadline_at, ended_at) values ('a', 'a', '{"a": 1}', '{"a": 1}', 'a', 'pending', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z');
insert into agent_gateway.agent_clocks (host_id, skew_ms) values ('a', 1);
insert into agent_gateway.agent_identities (host_id, key, instance, released_at) values ('a', 'a', 'a', '2026-01-02T03:04:05Z');
insert into agent_gateway.agent_refusals (host_id, code, key, told_at) values ('a', 'a', 'a', '2026-01-02T03:04:05Z');
insert into agent_gateway.agent_sessions (host_id, session_id, connection_id, generation, facts_hash, last_seen, lost) values ('a', 'a', 'a', 1, 'a', '2026-01-02T03:04:05Z', true);
insert into agent_gateway.checkpoints (name, position, detail, at) values ('a', 1, '{"a": 1}', '2026-01-02T03:04:05Z');
insert into agent_gateway.events (stream_id, version, id, type, data, meta, at) values ('a', 1, '0199c0de-0000-7000-8000-000000000001', 'a', '{"a": 1}', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into agent_gateway.grant_vms (vm_id, grant_id, expires_at, registered_at) values ('a', 'a', '2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z');
insert into agent_gateway.granted_tasks (task_key, grant_id, sent, revoked) values ('a', 'a', true, true);
insert into agent_gateway.idempotency (tenant, key, route, request_hash, answer, at) values ('a', 'a', 'a', 'a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into agent_gateway.inbox (consumer, event_id, at) values ('a', 'a', '2026-01-02T03:04:05Z');
insert into agent_gateway.open_offers (offer_key, offer, closes_at) values ('a', '{"a": 1}', '2026-01-02T03:04:05Z');
insert into agent_gateway.parked (consumer, key, event_id, topic, event, reason, attempts, redrive, at) values ('a', 'a', 'a', 'a', '{"a": 1}', 'a', 1, true, '2026-01-02T03:04:05Z');
insert into agent_gateway.tenant_keys (tenant, kid, public_key_jwk) values ('a', 'a', '{"a": 1}');
insert into agent_gateway.vm_places (vm_id, tenant, host_id, epoch, observed, told_host, told_epoch) values ('a', 'a', 'a', 1, '{"a": 1}', 'a', 1);
insert into agent_gateway.vm_tenants (vm_id, tenant) values ('a', 'a');
