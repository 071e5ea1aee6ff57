import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { afterLog, migrate, migrationsIn } from '@chrysalis/event-store';
import type { Caller } from '@chrysalis/service-kit';
import { temporaryDatabase, type TemporaryDatabase } from '@chrysalis/testing';
import type pg from 'pg';
import { readFeed } from './feed.ts';
import { ReadModels } from './read-models.ts';
import { models, type Model } from './tables.ts';
import { Wake } from './wake.ts';

const own = { roles: ['viewer'], tenant: 'acme' } as unknown as Caller;
const ROWS = 6_000;

describe('lists of many rows', () => {
  let database: TemporaryDatabase;
  let pool: pg.Pool;
  const asked: pg.QueryConfig[] = [];
  let reads: ReadModels;
  beforeAll(async () => {
    database = await temporaryDatabase();
    pool = database.pool();
    await migrate(
      database.connectionString,
      'read',
      afterLog(migrationsIn(path.resolve(import.meta.dirname, '../../../projector/src/migrations'))),
    );
    const recording = { query: (query: pg.QueryConfig) => (asked.push(query), pool.query(query)) } as unknown as pg.Pool;
    reads = new ReadModels(recording, new Wake());
    // Each three hundredth row is `rare`; every second one is the caller's.
    for (const table of ['vms', 'allocations', 'migrations', 'moves', 'workflows', 'operations'])
      await pool.query(
        `insert into read.${table} (id, version, tenant, created_at, updated_at, data)
         select n::text, 1, case when n % 2 = 0 then 'acme' else 'other' end, timestamptz '2026-01-01' + n * interval '1 second', now(),
           jsonb_build_object('state', s, 'hostId', s, 'vmId', s, 'migrationId', s, 'subject', s, 'labels', jsonb_build_object('team', s, 'all', ''), 'n', n)
         from (select n, case when n % 300 = 0 then 'rare' else 'usual-' || n % 7 end as s from generate_series(1, $1) n) rows`,
        [ROWS],
      );
    await pool.query('analyze read.vms, read.allocations, read.migrations, read.moves, read.workflows, read.operations');
  });
  afterAll(() => database?.drop());

  const indexOf = async (query: pg.QueryConfig): Promise<string | undefined> => {
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(`explain ${query.text}`, query.values);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).not.toContain('Sort');
    return /Index Scan using (\w+)/.exec(plan)?.[1];
  };

  test.each<[keyof typeof models, string, string]>([
    ['vms', 'host', 'vms_by_host'],
    ['vms', 'state', 'vms_by_state'],
    ['allocations', 'host', 'allocations_by_host'],
    ['allocations', 'vm', 'allocations_by_vm'],
    ['migrations', 'state', 'migrations_by_state'],
    ['moves', 'migration', 'moves_by_migration'],
    ['moves', 'vm', 'moves_by_vm'],
    ['workflows', 'state', 'workflows_by_state'],
    ['workflows', 'subject', 'workflows_by_subject'],
    ['operations', 'state', 'operations_by_state'],
    ['operations', 'subject', 'operations_by_subject'],
  ])('%s by %s: read in order from %s', async (name, filter, index) => {
    const model: Model = models[name];
    const every = { state: 'all', [filter]: 'rare', limit: '5' };
    const first = await reads.list(model, every, own);
    expect(first.items.map((item) => item['n'])).toEqual([6000, 5700, 5400, 5100, 4800]);
    expect(await indexOf(asked.at(-1)!)).toBe(index);
    const second = await reads.list(model, { ...every, cursor: first.next! }, own);
    expect(second.items.map((item) => item['n'])).toEqual([4500, 4200, 3900, 3600, 3300]);
    expect(await indexOf(asked.at(-1)!)).toBe(index);
  });

  test('without a filter: the newest first, and of the caller alone', async () => {
    const { items } = await reads.list(models.operations, { limit: '3' }, own);
    expect(items.map((item) => item['n'])).toEqual([6000, 5998, 5996]);
    expect(await indexOf(asked.at(-1)!)).toBe('operations_newest');
  });

  test('vms by label: from its index, newest first', async () => {
    const by = async (label: string) => (await reads.list(models.vms, { state: 'all', label, limit: '3' }, own)).items.map((i) => i['n']);
    expect(await by('team=rare')).toEqual([6000, 5700, 5400]);
    const plan = await pool.query<{ 'QUERY PLAN': string }>(`explain ${asked.at(-1)!.text}`, asked.at(-1)!.values);
    expect(plan.rows.map((r) => r['QUERY PLAN']).join('\n')).toContain('vms_by_label');
    expect(await by('team=rare,all=')).toEqual([6000, 5700, 5400]);
    const ofBoth = await pool.query<{ 'QUERY PLAN': string }>(`explain ${asked.at(-1)!.text}`, asked.at(-1)!.values);
    expect(ofBoth.rows.map((r) => r['QUERY PLAN']).join('\n')).toContain('vms_by_label');
    expect(await by('team=rare,all=x')).toEqual([]);
    expect(await by('team=rare,team=usual-1')).toEqual([]);
    expect(await by('all=')).toEqual([6000, 5998, 5996]);
    for (const none of ['team=', 'rare=team', 'team=rare=', '=', `team=' or true --`]) expect(await by(none)).toEqual([]);
  });

  test('a filter is a value, whatever it says', async () => {
    for (const state of [`' or true --`, ':tenants', '$1', 'row.state', '%'])
      expect((await reads.list(models.vms, { state }, own)).items).toEqual([]);
  });

  test('the feed is read from where its reader is', async () => {
    await pool.query(
      `insert into read.feed (event_id, type, stream, version, at, tenant, actor, correlation_id, causation_id, data)
       select gen_random_uuid(), 't.' || n % 3, 's-' || n % 5, n, timestamptz '2026-01-01', case when n % 2 = 0 then 'acme' else 'other' end, 'a', 'c', null, '{}'
       from generate_series(1, 100) n`,
    );
    const read = async (query: object) => (await readFeed(reads, { after: '0', caller: own, ...query })).map((e) => e.version);
    expect(await read({ limit: 3 })).toEqual([2, 4, 6]);
    expect(await read({ after: '90', streams: ['s-0', 's-2'] })).toEqual([92, 100]);
    expect(await read({ after: '80', type: 't.1' })).toEqual([82, 88, 94, 100]);
    const [entry] = await readFeed(reads, { after: '1', limit: 1, caller: own });
    expect(entry).toEqual({
      position: '2', id: expect.any(String), type: 't.2', stream: 's-2', version: 2, at: '2026-01-01T00:00:00.000Z', tenant: 'acme',
      actor: 'a', correlationId: 'c', causationId: null, data: {},
    }); // prettier-ignore
  });
});
