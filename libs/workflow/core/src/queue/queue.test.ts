import { describe, expect, it } from '@jest/globals';
import type { WorkflowLimits } from '@chrysalis/contracts';
import fc from 'fast-check';
import {
  AGE_MS,
  isLimited,
  mayQueue,
  nextToStart,
  paceAfter,
  rankOf,
  retryAfterSeconds,
  type Pace,
  type Running,
  type Waiting,
} from './queue.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const names = ['a', 'b', 'c', 'constructor'];
const name = fc.constantFrom(...names);
const bound = fc.option(fc.nat(6), { nil: undefined });
const named = <T>(value: fc.Arbitrary<T>) =>
  fc.uniqueArray(fc.tuple(name, value), { selector: ([n]) => n }).map((l) => Object.fromEntries(l));
const defined = <T extends object>(o: T): T => Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as T;
const tenantLimit = fc.record({ running: bound, weight: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }) }).map(defined);
const limits = fc
  .record({
    overall: fc.option(fc.record({ running: bound }).map(defined), { nil: undefined }),
    perTenant: fc.option(tenantLimit, { nil: undefined }),
    tenants: fc.option(named(tenantLimit), { nil: undefined }),
    kinds: fc.option(named(fc.record({ running: fc.nat(6) })), { nil: undefined }),
  })
  .map((l) => defined(l) as WorkflowLimits);
const waiting = fc
  .array(fc.record({ tenant: name, kind: name, priority: fc.nat(9), age: fc.nat(900_000) }), { maxLength: 40 })
  .map((l) =>
    l.map(({ tenant, kind, priority, age }, i): Waiting => ({ workflowId: `w${i}`, tenant, kind, rank: rankOf(now - age, priority) })),
  );
const running = fc.array(fc.record({ tenant: name, kind: name, count: fc.integer({ min: 1, max: 4 }) }), { maxLength: 8 });

/** Counted here on its own: how many of each there are after the choice, and what the limits say of it. */
const breaches = (l: WorkflowLimits, all: readonly Running[]): string[] => {
  const sum = (of: (r: Running) => boolean): number => all.filter(of).reduce((n, r) => n + r.count, 0);
  const found: string[] = [];
  if (sum(() => true) > (l.overall?.running ?? Infinity)) found.push('overall');
  for (const n of names) {
    const tenant = Object.entries(l.tenants ?? {}).find(([t]) => t === n)?.[1] ?? l.perTenant;
    if (sum((r) => r.tenant === n) > (tenant?.running ?? Infinity)) found.push(`tenant ${n}`);
    const kind = Object.entries(l.kinds ?? {}).find(([k]) => k === n)?.[1];
    if (sum((r) => r.kind === n) > (kind?.running ?? Infinity)) found.push(`kind ${n}`);
  }
  return found;
};
const startedOf = (list: readonly Waiting[], ids: readonly string[]): Running[] =>
  ids.map((id) => list.find((w) => w.workflowId === id)!).map(({ tenant, kind }) => ({ tenant, kind, count: 1 }));

describe('who starts next', () => {
  it('never makes more run than a limit says, and leaves nobody waiting for whom there is room', () => {
    fc.assert(
      fc.property(limits, running, waiting, fc.nat(50), (l, r, w, most) => {
        const chosen = nextToStart(l, r, w, now, most);
        expect(new Set(chosen).size).toBe(chosen.length);
        expect(chosen.length).toBeLessThanOrEqual(most);
        const after = [...r, ...startedOf(w, chosen)];
        const before = new Set(breaches(l, r));
        // What was full, or over it, already gets nothing more.
        for (const breach of breaches(l, after)) expect(before).toContain(breach);
        const counts = (all: Running[], of: (x: Running) => boolean) => all.filter(of).reduce((n, x) => n + x.count, 0);
        for (const breach of before) {
          const [what, n] = breach.split(' ');
          const of = (x: Running) => what === 'overall' || x[what as 'tenant' | 'kind'] === n;
          expect(counts(after, of)).toBe(counts(r, of));
        }
        if (chosen.length === most) return;
        for (const left of w.filter((x) => !chosen.includes(x.workflowId)))
          expect(breaches(l, [...after, { tenant: left.tenant, kind: left.kind, count: 1 }])).not.toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is the same whatever order the requests are in, and knows the first of each group suffice', () => {
    fc.assert(
      fc.property(limits, running, waiting, fc.integer({ min: 1, max: 10 }), (l, r, w, most) => {
        const chosen = nextToStart(l, r, w, now, most);
        expect(nextToStart(l, r, w.toReversed(), now, most)).toEqual(chosen);
        const firsts = [...Map.groupBy(w, (x) => `${x.tenant}/${x.kind}`).values()].flatMap((g) =>
          g.toSorted((a, b) => a.rank - b.rank || (a.workflowId < b.workflowId ? -1 : 1)).slice(0, most),
        );
        expect(nextToStart(l, r, firsts, now, most)).toEqual(chosen);
      }),
      { numRuns: 1_000 },
    );
  });

  it('goes by priority among those of one age, whoever they belong to', () => {
    fc.assert(
      fc.property(waiting, (list) => {
        const sameAge = list.map((w, i) => ({ ...w, rank: rankOf(now, i % 10) }));
        const order = nextToStart({}, [], sameAge, now, 100).map((id) => Number(id.slice(1)) % 10);
        expect(order).toEqual(order.toSorted((a, b) => b - a));
      }),
    );
  });

  it('shares among tenants by weight, however many each has waiting', () => {
    const many = (tenant: string, n: number): Waiting[] =>
      Array.from({ length: n }, (_, i) => ({ workflowId: `${tenant}${i}`, tenant, kind: 'k', rank: rankOf(now - 1_000 + i) }));
    const list = [...many('greedy', 1_000), ...many('small', 20), ...many('big', 20)];
    const chosen = nextToStart({ tenants: { big: { weight: 2 } } }, [], list, now, 40);
    const of = (t: string) => chosen.filter((id) => id.startsWith(t)).length;
    expect([of('greedy'), of('small'), of('big')]).toEqual([10, 10, 20]);
    // Who has more running already waits until the others have as many.
    expect(nextToStart({}, [{ tenant: 'small', kind: 'k', count: 5 }], [...many('small', 9), ...many('big', 9)], now, 5)).toEqual([
      'big0',
      'big1',
      'big2',
      'big3',
      'big4',
    ]);
  });

  it('starves nobody: the last priority starts, although the first never ends coming', () => {
    let waitingNow: Waiting[] = [{ workflowId: 'patient', tenant: 't', kind: 'k', rank: rankOf(now, 0) }];
    const limit: WorkflowLimits = { overall: { running: 1 } };
    for (let second = 0; ; second++) {
      const at = now + second * 1_000;
      for (const i of [1, 2]) waitingNow.push({ workflowId: `hasty${second}-${i}`, tenant: `u${i}`, kind: 'k', rank: rankOf(at, 9) });
      const [next] = nextToStart(limit, [], waitingNow, at, 1);
      if (next === 'patient') {
        expect(second * 1_000).toBeLessThanOrEqual(2 * 10 * AGE_MS); // two come for each that starts
        return;
      }
      waitingNow = waitingNow.filter((w) => w.workflowId !== next);
      expect(second).toBeLessThan(3_600);
    }
  });
});

describe('limits', () => {
  it('concern only whom they name', () => {
    expect(isLimited({}, 'a', 'k')).toBe(false);
    expect(isLimited({ tenants: { b: { running: 1 } }, kinds: { m: { running: 1 } }, perTenant: { weight: 2 } }, 'a', 'k')).toBe(false);
    expect(isLimited({ tenants: { a: {} }, perTenant: { running: 1 } }, 'a', 'k')).toBe(false);
    for (const l of [
      { overall: { running: 0 } },
      { perTenant: { running: 1 } },
      { tenants: { a: { running: 1 } } },
      { kinds: { k: { running: 1 } } },
    ])
      expect(isLimited(l, 'a', 'k')).toBe(true);
    expect([mayQueue({}, 'a', 999), mayQueue({}, 'a', 1_000), mayQueue({ perTenant: { queued: 0 } }, 'a', 0)]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('when to come again', () => {
  it('follows the measured pace', () => {
    let pace: Pace | undefined;
    for (let s = 0; s < 600; s++) pace = paceAfter(pace, s % 4 === 0 ? 1 : 0, now + s * 1_000);
    expect(retryAfterSeconds(pace, now + 600_000)).toBeGreaterThanOrEqual(4);
    expect(retryAfterSeconds(pace, now + 600_000)).toBeLessThanOrEqual(5);
    for (let s = 600; s < 1_200; s++) pace = paceAfter(pace, 5, now + s * 1_000);
    expect(retryAfterSeconds(pace, now + 1_200_000)).toBe(1);
    expect(retryAfterSeconds(pace, now + 3_600_000)).toBe(300);
    expect(retryAfterSeconds(undefined, now)).toBe(300);
  });
});
