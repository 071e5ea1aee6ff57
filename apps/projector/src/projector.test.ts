import { eventsByContext, contexts, type Context } from '@chrysalis/contracts';
import { afterLog, EventStore, migrate } from '@chrysalis/event-store';
import { createBus, type CloudEvent, type Consumption, type EventBus } from '@chrysalis/messaging';
import { entities, FeedEntry } from '@chrysalis/service-kit/read-models';
import { readAllOf, temporaryDatabase, until, type TemporaryDatabase } from '@chrysalis/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { DataSource } from 'typeorm';
import { applyBatch } from './apply.ts';
import { project, sources } from './consume.ts';
import { hashes } from './hash.ts';
import { migrations } from './migrations.ts';
import { tables } from './projection.ts';
import { rebuild, schemaOf } from './rebuild.ts';
import { fromStored, type Recorded } from './recorded.ts';
import { corpus } from './test/corpus.ts';
import { restarted } from './test/restarts.ts';

const events = [...corpus(), ...restarted()];
const contextOf = (e: Recorded): Context => contexts.find((c) => Object.values(eventsByContext[c]).some((k) => k.type === e.type))!;
/** Examples are taken from the middle of streams: as a log has no gaps, number them anew. */
const history = [...Map.groupBy(events, (e) => `${contextOf(e)} ${e.stream}`).values()].flatMap((s) =>
  s.map((e, i) => ({ ...e, version: i + 1 })),
);

const cloudEvent = (e: Recorded): CloudEvent => ({
  specversion: '1.0',
  id: e.id,
  source: `/chrysalis/${contextOf(e)}`,
  type: e.type,
  subject: e.stream,
  time: e.at,
  partitionkey: e.stream,
  datacontenttype: 'application/json',
  correlationid: e.correlationId,
  actor: e.actor,
  tenant: e.tenant,
  streamversion: e.version,
  data: e.data,
});

let database: TemporaryDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await temporaryDatabase();
  pool = database.pool();
});
afterAll(() => database?.drop());

const emptied = async (): Promise<void> => {
  await pool.query('drop schema if exists read cascade');
  await migrate(database.connectionString, 'read', afterLog(migrations));
};
const apply = (batch: readonly Recorded[]): Promise<void> =>
  new EventStore(pool, 'read').transaction((tx) => applyBatch(tx, 'read', batch));
const feed = async (): Promise<{ position: number; event_id: string }[]> =>
  (await pool.query('select position::int, event_id from read.feed order by position')).rows;

describe('the read models', () => {
  beforeEach(emptied);

  test('the migrations make what the entities say, for each read model', async () => {
    expect([...tables, 'hosts'].toSorted()).toEqual(Object.keys(entities).toSorted());
    const url = database.connectionString;
    const source = await new DataSource({ type: 'postgres', url, entities: [...Object.values(entities), FeedEntry] }).initialize();
    const said = source.entityMetadatas.map((e) => [e.tableName, columns(e.columns.map((c) => [c.databaseName, String(c.type)]))]);
    await source.destroy();
    const made = await Promise.all(
      said.map(async ([table]) => {
        const { rows } = await pool.query<[string, string]>({
          text: `select attname, format_type(atttypid, atttypmod) from pg_attribute
                 where attrelid = ('read.' || $1)::regclass and attnum > 0 and not attisdropped`,
          values: [table],
          rowMode: 'array',
        });
        return [table, columns(rows)];
      }),
    );
    expect(made).toEqual(said);
  });

  test('repetitions, other batches and another order of the streams end in the same models (I5)', async () => {
    await apply(history);
    const clean = await hashes(pool, 'read');
    for (const seed of [1, 2, 3]) {
      await emptied();
      const random = seeded(seed);
      for (const batch of batches(history, random)) await apply(batch);
      expect(await hashes(pool, 'read')).toEqual(clean);
    }
  });

  test('an older version changes nothing', async () => {
    const [requested, placed, booted] = history.filter((e) => e.stream === 'vm-0199c0de-0000-7000-8000-000000000001');
    await apply([requested!, placed!, booted!]);
    const before = await hashes(pool, 'read');
    await apply([placed!]);
    await apply([requested!]);
    expect(await hashes(pool, 'read')).toEqual(before);
    expect((await feed()).length).toBe(3);
  });

  test('the feed keeps a grant to itself', async () => {
    await apply(history);
    const { rows } = await pool.query(`select data from read.feed where type like '%grant.registered%'`);
    expect(rows[0].data.jws).toBe('(withheld)');
  });

  test('positions appear in their order, whoever writes', async () => {
    const others = (n: number) => history.map((e) => ({ ...e, id: e.id.replace('0199c0de', `0199c0d${n}`), stream: `${e.stream}-${n}` }));
    const seen: number[] = [];
    let writing = true;
    const watch = (async () => {
      for (let last = 0; writing;) {
        const { rows } = await pool.query('select position::int from read.feed where position > $1 order by position', [last]);
        for (const { position } of rows) seen.push((last = position));
      }
    })();
    await Promise.all(
      [1, 2, 3, 4].map(async (n) => {
        for (const e of others(n)) await apply([e]);
      }),
    );
    await new Promise((r) => setTimeout(r, 50));
    writing = false;
    await watch;
    expect(seen).toEqual((await feed()).map((f) => f.position));
    expect(seen.length).toBe(4 * history.length);
  });
});

describe('live over the bus', () => {
  let bus: EventBus;
  let projector: Consumption | undefined;
  const warnings: unknown[] = [];
  const startProjector = async (): Promise<void> => {
    projector = await project({
      bus,
      store: new EventStore(pool, 'read'),
      log: { warn: (...a: unknown[]) => void warnings.push(a) } as never,
    });
  };
  const publish = (list: readonly Recorded[]): Promise<void> =>
    bus.publish(list.map((e) => ({ topic: `chrysalis.${contextOf(e)}.events`, event: cloudEvent(e) })));

  beforeEach(async () => {
    await emptied();
    bus = createBus({ kind: 'embedded', pool, connectionString: database.connectionString });
    await bus.ensureTopics(sources.map((name) => ({ name, partitions: 3 })));
  });
  afterEach(async () => {
    await projector?.stop();
    await bus?.close();
    await pool.query('drop schema if exists bus cascade');
  });

  test('rebuilt from the logs is the same as live (I13), also what the bus never brought', async () => {
    const stores = new Map(contexts.map((c) => [c, new EventStore(pool, schemaOf(c))]));
    for (const c of contexts) await migrate(database.connectionString, schemaOf(c));
    const log: Recorded[] = [];
    for (const e of history) {
      const meta = { at: e.at, correlationId: e.correlationId, actor: e.actor, tenant: e.tenant };
      await stores
        .get(contextOf(e))!
        .append({ stream: e.stream, expected: e.version - 1, events: [{ id: e.id, type: e.type, data: e.data, meta }] });
    }
    for (const [c, store] of stores)
      log.push(...(await readAllOf(store, history.filter((e) => contextOf(e) === c).length)).map(fromStored));
    expect(log.length).toBe(history.length);

    await startProjector();
    await publish(log);
    await until(async () => (await feed()).length === log.length);
    const live = await hashes(pool, 'read');
    const positions = await feed();

    const same = await rebuild({ pool, databaseUrl: database.connectionString, schema: 'read', batch: 7 });
    expect(same).toEqual({ events: log.length, changed: [], hashes: live });
    expect(await feed()).toEqual(positions);

    await pool.query(
      `update read.vms set data = data || '{"state": "wrong"}'; delete from read.tasks; delete from read.feed where position % 2 = 0`,
    );
    const healed = await rebuild({ pool, databaseUrl: database.connectionString, schema: 'read' });
    expect([...healed.changed].sort()).toEqual(['feed', 'tasks', 'vms']);
    expect(healed.hashes).toEqual(live);
  });

  test('one poisonous event is parked with what follows under its key; all else goes on; a redrive puts it right', async () => {
    await startProjector();
    const vm = history.filter((e) => e.stream === 'vm-0199c0de-0000-7000-8000-000000000001');
    const poison = { ...vm[1]!, data: { vmId: 'nothing else' } };
    await publish([vm[0]!, poison, vm[2]!, ...history.filter((e) => e.stream === 'host-h1')]);
    const parked = async () => (await pool.query('select event_id, reason from read.parked order by sequence')).rows;
    await until(async () => (await parked()).length === 2 && (await pool.query('select from read.allocations')).rowCount! > 0);
    expect((await parked())[0].event_id).toBe(poison.id);
    expect((await pool.query(`select data ->> 'state' as state from read.vms`)).rows).toEqual([{ state: 'requested' }]);

    await pool.query('update read.parked set event = $2 where event_id = $1', [poison.id, JSON.stringify(cloudEvent(vm[1]!))]);
    await projector!.redrive();
    expect((await pool.query(`select data ->> 'state' as state from read.vms`)).rows).toEqual([{ state: 'running' }]);
    expect(await parked()).toEqual([]);
  });
});

const columns = (list: [name: string, type: string][]): string[] =>
  list.map(([name, type]) => `${name} ${type.replace('timestamp with time zone', 'timestamptz')}`).toSorted();

const seeded = (seed: number) => () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;

/** Interleaves the streams at random, each in its own order, cuts into batches of unequal size, and delivers every third batch twice. */
const batches = (list: readonly Recorded[], random: () => number): Recorded[][] => {
  const streams = [...Map.groupBy(list, (e) => `${contextOf(e)} ${e.stream}`).values()].map((s) => [...s]);
  const mixed: Recorded[] = [];
  while (streams.length > 0) {
    const i = Math.floor(random() * streams.length);
    mixed.push(streams[i]!.shift()!);
    if (streams[i]!.length === 0) streams.splice(i, 1);
  }
  const out: Recorded[][] = [];
  while (mixed.length > 0) {
    const batch = mixed.splice(0, 1 + Math.floor(random() * 9));
    out.push(batch, ...(random() < 0.33 ? [batch] : []));
  }
  return out;
};
