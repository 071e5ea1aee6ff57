import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { accept, reject, type Decider, type Decision } from '@chrysalis/kernel';
import { given, type TemporaryDatabase, readAllOf } from '@chrysalis/testing';
import fc from 'fast-check';
import { decideAndAppend, upcasters, type EventStore, type Known, type NewEvent } from '../index.ts';
import { event, openStore } from './support.ts';

type Take = { readonly amount: number };
type Taken = { readonly type: 'chrysalis.test.stock.taken.v1'; readonly data: { readonly amount: number } };
type Empty = { readonly code: 'stock.empty'; readonly left: number };

const stock: Decider<Take, number, Taken, Decision<Taken, Empty>> = {
  initial: 20,
  decide: ({ amount }, left) =>
    amount > left ? reject({ code: 'stock.empty', left }) : accept({ type: 'chrysalis.test.stock.taken.v1', data: { amount } }),
  evolve: (left, e) => left - e.data.amount,
};
const toEvents = (events: readonly Taken[]): NewEvent[] => events.map((e) => event(e.data, { type: e.type }));

let db: TemporaryDatabase;
let store: EventStore;
beforeAll(async () => ({ db, store } = await openStore({ max: 16 })));
afterAll(() => db.drop());

describe('load, decide, append', () => {
  test('the decider by itself', () => {
    const taken = (amount: number): Taken => ({ type: 'chrysalis.test.stock.taken.v1', data: { amount } });
    expect(
      given(stock, [taken(15)])
        .when({ amount: 5 })
        .then([taken(5)]),
    ).toBe(0);
    given(stock, [taken(15)])
      .when({ amount: 6 })
      .thenRejected('stock.empty', { left: 5 });
    expect(() =>
      given(stock)
        .when({ amount: 1 })
        .then([taken(2)]),
    ).toThrow();
    expect(() => given(stock).when({ amount: 1 }).thenRejected('stock.empty')).toThrow();
  });

  test('16 at once take what there is and no more', async () => {
    const results = await Promise.all(
      Array.from({ length: 32 }, () =>
        decideAndAppend({ store, stream: 'stock', decider: stock, command: { amount: 1 }, toEvents, attempts: 40 }),
      ),
    );
    expect(results.filter((r) => r.ok)).toHaveLength(20);
    for (const r of results) if (!r.ok) expect(r.rejection).toEqual({ code: 'stock.empty', left: 0 });
    expect(await store.read('stock')).toHaveLength(20);
  });

  test('the bound holds: with one attempt the losers are told', async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, () =>
        decideAndAppend({ store, stream: 'hot', decider: stock, command: { amount: 1 }, toEvents, attempts: 1 }),
      ),
    );
    const codes = results.flatMap((r) => (r.ok ? [] : [r.rejection.code]));
    expect(new Set(codes)).toEqual(new Set(codes.length ? ['service.contended'] : []));
    expect((await store.read('hot')).length).toBe(8 - codes.length);
  });

  test('only at the version the caller saw', async () => {
    const take = (ifVersion: number) =>
      decideAndAppend({ store, stream: 'seen', decider: stock, command: { amount: 1 }, toEvents, ifVersion });
    expect(await take(0)).toMatchObject({ ok: true, version: 1, state: 19 });
    expect(await take(0)).toEqual({ ok: false, rejection: { code: 'stream.version_mismatch', stream: 'seen', expected: 0, actual: 1 } });
  });

  test('from what is known of the stream, and where that is not all of it, from what came after as well', async () => {
    const take = (known: Known<number>) =>
      decideAndAppend({ store, stream: 'known', decider: stock, command: { amount: 5 }, toEvents, known });
    expect(await take({ state: 20, version: 0, current: true })).toMatchObject({ ok: true, version: 1, state: 15 });
    expect(await take({ state: 20, version: 0 })).toMatchObject({ ok: true, version: 2, state: 10 });
    // Said to be current and is not: the append tells, and it is decided anew on what is there.
    expect(await take({ state: 15, version: 1, current: true })).toMatchObject({ ok: true, version: 3, state: 5 });
    expect(await take({ state: 5, version: 3, current: true })).toMatchObject({ ok: true, version: 4, state: 0 });
    expect(await take({ state: 0, version: 4 })).toEqual({ ok: false, rejection: { code: 'stock.empty', left: 0 } });
  });
});

describe('upcasters', () => {
  const steps = upcasters()
    .add('chrysalis.test.stock.taken', 1, ({ data }) => ({
      type: 'chrysalis.test.stock.taken.v2',
      data: { count: (data as { amount: number }).amount },
    }))
    .add('chrysalis.test.stock.taken', 2, ({ data }) => ({
      type: 'chrysalis.test.stock.taken.v3',
      data: { items: Array.from({ length: (data as { count: number }).count }, () => 'item') },
    }));

  test('every step is taken on read, from whichever version was stored', async () => {
    const { db: own, store: upcasting } = await openStore({ upcast: steps.upcast });
    try {
      const stored = [
        event({ amount: 2 }, { type: 'chrysalis.test.stock.taken.v1' }),
        event({ count: 1 }, { type: 'chrysalis.test.stock.taken.v2' }),
        event({ items: [] }, { type: 'chrysalis.test.stock.taken.v3' }),
        event({ as: 'it is' }),
      ];
      await upcasting.append({ stream: 'old', expected: 'noStream', events: stored });
      const read = await upcasting.read('old');
      expect(read.map((e) => e.data)).toEqual([{ items: ['item', 'item'] }, { items: ['item'] }, { items: [] }, { as: 'it is' }]);
      expect(read.map((e) => e.id)).toEqual(stored.map((e) => e.id));
      expect((await readAllOf(upcasting, 4)).map((e) => e.data)).toEqual(read.map((e) => e.data));
    } finally {
      await own.drop();
    }
  });

  test('upcasting twice is upcasting once, and folding does not depend on the version stored', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ n: fc.nat({ max: 20 }), v: fc.constantFrom(1, 2, 3) })), (history) => {
        const stored = history.map(({ n, v }) => ({
          type: `chrysalis.test.stock.taken.v${v}`,
          data: v === 1 ? { amount: n } : v === 2 ? { count: n } : { items: Array.from({ length: n }, () => 'item') },
        }));
        const once = stored.map((e) => steps.upcast(e));
        expect(once.map((e) => steps.upcast(e))).toEqual(once);
        const total = once.reduce((sum, e) => sum + (e.data as { items: string[] }).items.length, 0);
        expect(total).toBe(history.reduce((sum, { n }) => sum + n, 0));
      }),
    );
  });

  test('two from one version, or one that stays, are mistakes', () => {
    expect(() => steps.add('chrysalis.test.stock.taken', 1, (e) => e)).toThrow('two upcasters');
    const stuck = upcasters().add('a', 1, (e) => e);
    expect(() => stuck.upcast({ type: 'a.v1', data: {} })).toThrow('stays');
  });
});
