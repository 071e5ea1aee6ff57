import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { TemporaryDatabase } from '@chrysalis/testing';
import pg from 'pg';
import { appRole, EventStore, type Append, type Expected } from '../index.ts';
import { at, event, openStore } from './support.ts';

let db: TemporaryDatabase;
let store: EventStore;
beforeAll(async () => ({ db, store } = await openStore()));
afterAll(() => db.drop());

describe('append and read', () => {
  const expectation = fc.oneof(fc.constantFrom<Expected>('noStream', 'streamExists', 'any'), fc.nat({ max: 6 }));
  const appends = fc.array(
    fc.uniqueArray(fc.record({ stream: fc.constantFrom('a', 'b', 'c'), expected: expectation, count: fc.integer({ min: 0, max: 3 }) }), {
      selector: (a) => a.stream,
      minLength: 1,
      maxLength: 3,
    }),
    { maxLength: 12 },
  );
  const fits = (expected: Expected, version: number): boolean => {
    if (expected === 'any') return true;
    if (expected === 'noStream') return version === 0;
    return expected === 'streamExists' ? version > 0 : version === expected;
  };

  test('every sequence of appends does what the model says', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(appends, async (sequence) => {
        const prefix = `model-${run++}-`;
        const model = new Map<string, string[]>();
        for (const step of sequence) {
          const list: Append[] = step.map(({ stream, expected, count }) => ({
            stream: prefix + stream,
            expected,
            events: Array.from({ length: count }, () => event()),
          }));
          const versionOf = (stream: string): number => model.get(stream)?.length ?? 0;
          const late = list.find((a) => !fits(a.expected, versionOf(a.stream)));
          const result = await store.append(list);
          if (late) {
            expect(result).toEqual({
              ok: false,
              conflict: { stream: late.stream, expected: late.expected, actual: versionOf(late.stream) },
            });
            continue;
          }
          for (const a of list) model.set(a.stream, [...(model.get(a.stream) ?? []), ...a.events.map((e) => e.id)]);
          expect(result).toEqual({ ok: true, versions: Object.fromEntries(list.map((a) => [a.stream, versionOf(a.stream)])) });
        }
        for (const [stream, ids] of model) {
          const stored = await store.read(stream);
          expect(stored.map((e) => e.id)).toEqual(ids);
          expect(stored.map((e) => e.version)).toEqual(ids.map((_, i) => i + 1));
        }
      }),
      { numRuns: 60, seed: 20260101 },
    );
  });

  test('what is read is what was appended', async () => {
    const one = event({ nested: { list: [1, null, 'ü\u{1F98B}', { deep: true }] } }, {});
    const full = {
      ...one,
      meta: { ...one.meta, causationId: 'x', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
    };
    await store.append({ stream: 'same', expected: 'noStream', events: [full] });
    const [stored] = await store.read('same');
    expect(stored).toMatchObject({ ...full, stream: 'same', version: 1 });
    expect(BigInt(stored!.position)).toBeGreaterThan(0n);
  });

  test('events of one command and of several are stored alike', async () => {
    const { meta } = event();
    const shared = [1, 'two', null, { n: 4 }].map((data) => event(data, { meta }));
    const apart = shared.map((e, i) => ({ ...e, meta: { ...meta, correlationId: `c-${i}` } }));
    await store.append({ stream: 'shared', expected: 'noStream', events: shared });
    await store.append({ stream: 'apart', expected: 'noStream', events: apart });
    const plain = async (stream: string) => (await store.read(stream)).map(({ id, type, data, meta: m }) => ({ id, type, data, meta: m }));
    expect(await plain('shared')).toEqual(shared);
    expect(await plain('apart')).toEqual(apart);
    const stale = await store.append({ stream: 'shared', expected: 3, events: shared });
    expect(stale).toEqual({ ok: false, conflict: { stream: 'shared', expected: 3, actual: 4 } });
  });

  test('a range of versions, and the past', async () => {
    const times = ['10:00', '11:00', '12:00', '11:30', '13:00'].map((t) => `2026-01-01T${t}:00.000Z`);
    await store.append({ stream: 'past', expected: 'noStream', events: times.map((t, i) => at(t, { i })) });
    const read = async (options: Parameters<EventStore['read']>[1]): Promise<number[]> =>
      (await store.read('past', options)).map((e) => e.version);
    expect(await read({ from: 2, to: 3 })).toEqual([2, 3]);
    expect(await read({ asOf: '2026-01-01T09:00:00Z' })).toEqual([]);
    expect(await read({ asOf: '2026-01-01T11:00:00Z' })).toEqual([1, 2]);
    // The clock stepped back after the third: the past never has a hole.
    expect(await read({ asOf: '2026-01-01T11:45:00Z' })).toEqual([1, 2]);
    expect(await read({ asOf: '2026-01-01T12:00:00Z' })).toEqual([1, 2, 3, 4]);
    expect(await read({ asOf: '2026-01-02T00:00:00+02:00' })).toEqual([1, 2, 3, 4, 5]);
  });

  test('a conflict leaves the transaction of the caller usable', async () => {
    await store.append({ stream: 'inner', expected: 'noStream', events: [event()] });
    const appended = await store.transaction(async (tx) => {
      const stale = await store.append({ stream: 'inner', expected: 'noStream', events: [event()] }, tx);
      expect(stale).toEqual({ ok: false, conflict: { stream: 'inner', expected: 'noStream', actual: 1 } });
      return store.append({ stream: 'inner', expected: 1, events: [event()] }, tx);
    });
    expect(appended).toEqual({ ok: true, versions: { inner: 2 } });
  });

  test('a rolled-back transaction leaves nothing, and its connection is fit for the next', async () => {
    const failing = store.transaction(async (tx) => {
      await store.append({ stream: 'undone', expected: 'noStream', events: [event()] }, tx);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await store.read('undone')).toEqual([]);
  });

  test('what makes no sense is refused before it reaches the database', async () => {
    await expect(store.append([])).rejects.toThrow('nothing to append');
    await expect(store.append({ stream: 's', expected: -1, events: [event()] })).rejects.toThrow('expected version');
    await expect(store.append({ stream: 's', expected: 1.5, events: [event()] })).rejects.toThrow('expected version');
    const twice = { stream: 's', expected: 'any' as const, events: [event()] };
    await expect(store.append([twice, twice])).rejects.toThrow('twice');
    expect(() => new EventStore(store.pool, 'x"; drop schema shop')).toThrow('schema name');
  });
});

describe('what stands beside the log', () => {
  test('the inbox says first exactly once, also to many at once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => store.transaction((tx) => store.firstSeen(tx, 'mailer', 'e-1'))));
    expect(answers.filter(Boolean)).toHaveLength(1);
    expect(await store.transaction((tx) => store.firstSeen(tx, 'printer', 'e-1'))).toBe(true);
    await expect(
      store.transaction(async (tx) => {
        await store.firstSeen(tx, 'mailer', 'e-2');
        throw new Error('the effect failed');
      }),
    ).rejects.toThrow();
    expect(await store.transaction((tx) => store.firstSeen(tx, 'mailer', 'e-2'))).toBe(true);
  });

  test('an idempotent answer is kept once, and belongs to its request and tenant', async () => {
    const remember = (answer: unknown): Promise<boolean> =>
      store.transaction((tx) => store.rememberAnswer(tx, 'k', 'acme', 'POST /v1/vms', 'hash', answer));
    const recall = (tenant: string, route: string, hash: string) =>
      store.transaction((tx) => store.recallAnswer(tx, 'k', tenant, route, hash));
    expect(await recall('acme', 'POST /v1/vms', 'hash')).toEqual({ kind: 'none' });
    const kept = await Promise.all([remember({ n: 1 }), remember({ n: 1 })]);
    expect(kept.filter(Boolean)).toHaveLength(1);
    expect(await recall('acme', 'POST /v1/vms', 'hash')).toEqual({ kind: 'answer', answer: { n: 1 } });
    expect(await recall('acme', 'POST /v1/vms', 'other')).toEqual({ kind: 'mismatch' });
    expect(await recall('acme', 'POST /v1/moves', 'hash')).toEqual({ kind: 'mismatch' });
    expect(await recall('globex', 'POST /v1/vms', 'hash')).toEqual({ kind: 'none' });
    expect(await store.forgetAnswers('1 hour')).toBe(0);
    expect(await store.forgetAnswers('0 seconds')).toBe(1);
  });

  test('a checkpoint keeps its detail until told otherwise', async () => {
    expect(await store.loadCheckpoint('p')).toBeUndefined();
    await store.saveCheckpoint('p', { transactionId: '5', position: '7' }, { bus: 'x' });
    await store.saveCheckpoint('p', { transactionId: '6', position: '0' });
    expect(await store.loadCheckpoint('p')).toEqual({ transactionId: '6', position: '0', detail: { bus: 'x' } });
  });

  test('appends wake who listens, after the commit', async () => {
    let woken = 0;
    const stop = store.onAppend(() => woken++);
    await store.append({ stream: 'woken', expected: 'any', events: [event()] });
    expect(woken).toBe(1);
    await store.transaction((tx) => store.append({ stream: 'woken', expected: 'any', events: [event()] }, tx));
    expect(woken).toBe(2);
    stop();
    await store.append({ stream: 'woken', expected: 'any', events: [event()] });
    expect(woken).toBe(2);
  });
});

describe('the schema', () => {
  test('the role of the services adds and reads, and changes no event; nor does a superuser', async () => {
    const app = new pg.Client({ connectionString: db.connectionString, options: `-c role=${appRole}` });
    await app.connect();
    try {
      const pool = new pg.Pool({ connectionString: db.connectionString, options: `-c role=${appRole}`, max: 1 });
      const asApp = new EventStore(pool, 'shop');
      expect(await asApp.append({ stream: 'kept', expected: 'noStream', events: [event()] })).toMatchObject({ ok: true });
      expect(await asApp.transaction((tx) => asApp.firstSeen(tx, 'app', 'e'))).toBe(true);
      await pool.end();
      for (const sql of [`update shop.events set type = 'x'`, 'delete from shop.events', 'truncate shop.events'])
        for (const client of [app, store.pool]) await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
      await expect(app.query('delete from shop.schema_migrations')).rejects.toMatchObject({ code: '42501' });
    } finally {
      await app.end();
    }
    expect(await store.read('kept')).toHaveLength(1);
  });
});
