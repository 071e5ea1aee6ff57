import pg from 'pg';

/**
 * The embedded bus: its own schema beside those of the services. Offsets count from 0 per partition, without gaps, in commit order:
 * a publisher holds the row of its partition until it commits, so no reader can pass an offset that is still to come.
 */
const tables = `
  create schema if not exists bus;
  create table if not exists bus.identity (id uuid not null default gen_random_uuid(), one boolean primary key default true check (one));
  insert into bus.identity default values on conflict do nothing;
  create table if not exists bus.topics (name text primary key, partitions integer not null check (partitions > 0));
  create table if not exists bus.partitions (
    topic text not null references bus.topics,
    partition integer not null,
    next_offset bigint not null default 0,
    primary key (topic, partition)
  ) with (fillfactor = 10); -- one hot row each: updates stay in the page
  create table if not exists bus.messages (
    topic text not null,
    partition integer not null,
    message_offset bigint not null,
    event json not null,
    primary key (topic, partition, message_offset)
  );
  create table if not exists bus.offsets (
    consumer_group text not null,
    topic text not null,
    partition integer not null,
    next_offset bigint not null,
    primary key (consumer_group, topic, partition)
  ) with (fillfactor = 10);
  create table if not exists bus.members (
    id uuid primary key,
    consumer_group text not null,
    topics text[] not null,
    backend_pid integer not null,
    backend_start timestamptz not null,
    seen timestamptz not null default now()
  );
  do $$ begin
    if exists (select from pg_roles where rolname = 'chrysalis_app') then
      grant usage on schema bus to chrysalis_app;
      grant select, insert, update, delete on all tables in schema bus to chrysalis_app;
    end if;
  end $$;
`;

/** By a connection of its own, as the owner: who publishes and reads may make no tables. */
export const migrateBus = async (connectionString: string): Promise<void> => {
  const client = new pg.Client({ connectionString, application_name: 'chrysalis-bus-tables' });
  client.on('error', () => undefined); // between two queries; the next one says so
  await client.connect();
  try {
    await client.query('begin');
    await client.query(`select pg_advisory_xact_lock(hashtextextended('chrysalis.migrate', 0))`);
    const { rows } = await client.query<{ there: boolean }>(`select to_regclass('bus.members') is not null as there`);
    if (!rows[0]!.there) await client.query(tables);
    await client.query('commit');
  } finally {
    await client.end(); // and with it what was not committed
  }
};
