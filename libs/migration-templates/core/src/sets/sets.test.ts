import { describe, expect, test } from '@jest/globals';
import { migrationTemplatesEvents as events, type Plan, type SetPolicy } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import {
  expecting,
  migrationDecider,
  wanted,
  type MigrationCommand,
  type MigrationEvent,
  type MigrationState,
  type MoveState,
  type Start,
} from '../migration.ts';
import { AT } from '../test/fixtures.ts';
import { nothingAround, type Around, type Route } from './caps.ts';
import { orderOf, partsOf } from './order.ts';
import { budgetOf, eligible } from './pace.ts';

const migrationId = 'mig-1';
const ref = { name: 'x', version: 1 };
const none = new Set<string>();
const vm = (i: number): string => `vm-${i}`;
const planOf = (routes: readonly Route[]): Plan => ({
  planId: 'plan-1',
  at: AT,
  basis: { template: ref, vmVersions: {}, hostGenerations: {} },
  moves: routes.map((r, i) => ({ vmId: vm(i), ...r, fromType: ref, toType: ref, steps: [], blockers: [] })),
});
const plan = (n: number): Plan => planOf(Array.from({ length: n }, () => ({ fromHost: 'a', toHost: 'b' })));
const start = (i: number): Start => ({
  moveId: `mov-${i}`,
  vmId: vm(i),
  request: { workflowId: `mov-${i}`, definition: {} as never, params: {}, subject: `mov-${i}` },
});
const requested = (n: number, concurrency: number, policy?: SetPolicy): MigrationEvent => ({
  type: events.migrationRequested.type,
  data: { migrationId, plan: plan(n), concurrency, ...(policy ? { policy } : {}) },
});
const started = (i: number): MigrationEvent => ({ type: events.moveStarted.type, data: { migrationId, ...start(i) } });
const cause = { code: 'guest.refused', message: 'no' };
type Fate = Exclude<MoveState['state'], 'running'>;
const moved = (i: number, state: Fate = 'succeeded'): MigrationEvent => ({
  type: events.moveEnded.type,
  data: { migrationId, moveId: `mov-${i}`, vmId: vm(i), state, ...(state === 'succeeded' ? {} : { cause }) },
});
const end = (i: number, state: Fate, starts: Start[] = []): MigrationCommand => ({
  kind: 'end-move',
  moveId: `mov-${i}`,
  state,
  ...(state === 'succeeded' ? {} : { cause }),
  starts,
});
const endedWith = (code: string, counts: object, state = 'failed'): Partial<MigrationEvent> =>
  expect.objectContaining({
    data: expect.objectContaining({ state, cause: expect.objectContaining({ code }), counts }),
  }) as never;
const decided = (history: MigrationEvent[], command: MigrationCommand): MigrationEvent[] => {
  const decision = migrationDecider.decide(command, fold(migrationDecider.evolve, migrationDecider.initial, history));
  if (!decision.ok) throw new Error(decision.rejection.code);
  return [...decision.events];
};

describe('canary, waves and budget', () => {
  test('parts of a set: the smallest, the largest, and none', () => {
    expect(partsOf({}, 5)).toEqual([5]);
    expect(partsOf({}, 0)).toEqual([]);
    expect(partsOf({ canary: 1 }, 5)).toEqual([1, 5]);
    expect(partsOf({ canary: 9 }, 5)).toEqual([5]);
    expect(partsOf({ canary: 1, waves: { first: 2, growth: 2 } }, 12)).toEqual([1, 3, 7, 12]);
    expect(partsOf({ waves: { first: 3, growth: 1 } }, 7)).toEqual([3, 6, 7]);
  });
  test('a budget as a number or a share, which is never none', () => {
    expect(budgetOf({}, 10)).toBe(1);
    expect(budgetOf({ maxFailures: 3 }, 10)).toBe(3);
    expect(budgetOf({ maxFailures: '10%' }, 3)).toBe(1);
    expect(budgetOf({ maxFailures: '10%' }, 1000)).toBe(100);
    expect(budgetOf({ maxFailures: '1%' }, 1)).toBe(1);
  });
  test('the canary goes alone; once it has succeeded the others follow', () => {
    const request: MigrationCommand = {
      ...{ kind: 'request', migrationId, plan: plan(3), concurrency: 3, policy: { canary: 1 } },
      starts: [start(0), start(1), start(2)],
    };
    given(migrationDecider)
      .when(request)
      .then([requested(3, 3, { canary: 1 }), started(0)]);
    given(migrationDecider, [requested(3, 3, { canary: 1 }), started(0)])
      .when(end(0, 'succeeded', [start(1), start(2)]))
      .then([moved(0), started(1), started(2)]);
  });
  test('a canary that fails stops the set, whatever its budget', () => {
    const history = [requested(3, 3, { canary: 1, maxFailures: 3 }), started(0)];
    expect(decided(history, end(0, 'failed', [start(1), start(2)]))).toEqual([
      moved(0, 'failed'),
      endedWith('migration.canary_failed', { succeeded: 0, undone: 0, failed: 1, notBegun: 2 }),
    ]);
  });
  test('a budget of two holds one failure, and stops at the second', () => {
    const history = [requested(4, 1, { maxFailures: 2 }), started(0)];
    const once = [...history, ...decided(history, end(0, 'undone', [start(1)]))];
    expect(once.slice(-1)).toEqual([started(1)]);
    expect(decided(once, end(1, 'undone', [start(2)])).at(-1)).toMatchObject({ data: { state: 'undone' } });
    const mixed = [...once, moved(1), started(2)];
    expect(decided(mixed, end(2, 'failed', [start(3)])).at(-1)).toEqual(
      endedWith('migration.too_many_failures', { succeeded: 1, undone: 1, failed: 1, notBegun: 1 }),
    );
  });
  test('the next wave waits for the last of the one before', () => {
    const history = [requested(4, 4, { waves: { first: 2, growth: 1 } }), started(0), started(1)];
    given(migrationDecider, history)
      .when(end(0, 'succeeded', [start(2), start(3)]))
      .then([moved(0)]);
    given(migrationDecider, [...history, moved(0)])
      .when(end(1, 'succeeded', [start(2), start(3)]))
      .then([moved(1), started(2), started(3)]);
  });
});

describe('order', () => {
  test('keeps the plan’s where nothing is said, and names a circle', () => {
    expect(orderOf(['a', 'b', 'c'])).toEqual({ ok: true, vmIds: ['a', 'b', 'c'] });
    expect(orderOf(['a', 'b', 'c'], { a: ['c'] })).toEqual({ ok: true, vmIds: ['b', 'c', 'a'] });
    expect(orderOf(['a', 'b', 'c'], { a: ['b'], b: ['a'] })).toEqual({ ok: false, cycle: ['a', 'b'] });
    expect(orderOf(['a'], { a: ['a'] })).toEqual({ ok: false, cycle: ['a'] });
    const request = { kind: 'request', migrationId, plan: plan(2), concurrency: 1, starts: [] } as const;
    given(migrationDecider)
      .when({ ...request, policy: { after: { [vm(0)]: [vm(1)], [vm(1)]: [vm(0)] } } })
      .thenRejected('migration.order_cyclic');
    given(migrationDecider)
      .when({ ...request, policy: { after: { [vm(0)]: ['vm-other'] } } })
      .thenRejected('migration.order_unknown');
  });
  test('who waits for one that failed never begins, and the set ends', () => {
    const history = [requested(3, 3, { after: { [vm(1)]: [vm(0)], [vm(2)]: [vm(1)] }, maxFailures: 3 }), started(0)];
    expect(decided(history, end(0, 'failed', [start(1), start(2)])).at(-1)).toMatchObject({ data: { counts: { failed: 1, notBegun: 2 } } });
    given(migrationDecider, history)
      .when(end(0, 'succeeded', [start(1), start(2)]))
      .then([moved(0), started(1)]);
  });
});

describe('pause, resume, and time', () => {
  const until = '2026-11-23T12:00:00.000Z';
  const [before, later] = ['2026-11-23T11:00:00.000Z', '2026-11-23T12:00:01.000Z'];
  const pause = (then: 'cancel' | 'resume'): MigrationCommand => ({ kind: 'pause', migrationId, reason: 'lunch', until, then });
  const paused = (then: 'cancel' | 'resume'): MigrationEvent => ({
    type: events.migrationPaused.type,
    data: { migrationId, reason: 'lunch', until, then },
  });
  const resumed: MigrationEvent = { type: events.migrationResumed.type, data: { migrationId } };
  const history = [requested(2, 1), started(0)];

  test('what runs ends, nothing begins; resumed it goes on', () => {
    given(migrationDecider, history)
      .when(pause('cancel'))
      .then([paused('cancel')]);
    given(migrationDecider, [...history, paused('cancel')])
      .when(pause('cancel'))
      .thenNothing();
    given(migrationDecider, [...history, paused('cancel')])
      .when(end(0, 'succeeded', [start(1)]))
      .then([moved(0)]);
    given(migrationDecider, [...history, paused('cancel'), moved(0)])
      .when({ kind: 'resume', migrationId, starts: [start(1)] })
      .then([resumed, started(1)]);
    given(migrationDecider, history).when({ kind: 'resume', migrationId, starts: [] }).thenNothing();
  });
  test('who paused it is not asked over, unless that is said; at the same time and for the same reason it is the same pause', () => {
    const other = {
      kind: 'pause',
      migrationId,
      reason: 'the switch is changed',
      until: '2026-11-24T12:00:00.000Z',
      then: 'resume',
    } as const;
    given(migrationDecider, [...history, paused('cancel')])
      .when(other)
      .thenRejected('migration.paused');
    const { kind: _, ...data } = other;
    given(migrationDecider, [...history, paused('cancel')])
      .when({ ...other, replace: true })
      .then([{ type: events.migrationPaused.type, data }]);
  });
  test('paused at its last move it ends with that', () => {
    const last = [requested(1, 1), started(0), paused('cancel')];
    expect(decided(last, end(0, 'succeeded')).at(-1)).toMatchObject({ data: { state: 'succeeded' } });
  });
  test('nobody resumes it: it ends, or goes on, as was said', () => {
    const waits = [...history, paused('cancel'), moved(0)];
    given(migrationDecider, waits)
      .when({ kind: 'advance', at: before, starts: [start(1)] })
      .thenNothing();
    expect(decided(waits, { kind: 'advance', at: later, starts: [] }).at(-1)).toEqual(
      endedWith('migration.pause_expired', { succeeded: 1, undone: 0, failed: 0, notBegun: 1 }, 'cancelled'),
    );
    given(migrationDecider, [...history, paused('resume'), moved(0)])
      .when({ kind: 'advance', at: later, starts: [start(1)] })
      .then([resumed, started(1)]);
  });
  test('cancelled while it is paused and nothing runs: that is its end', () => {
    const waits = [...history, paused('resume'), moved(0)];
    expect(decided(waits, { kind: 'cancel', migrationId, reason: 'enough' }).at(-1)).toEqual(
      endedWith('migration.cancelled', { succeeded: 1, undone: 0, failed: 0, notBegun: 1 }, 'cancelled'),
    );
  });
  test('its time is up: what runs goes on, and with it the set ends', () => {
    const timed: MigrationEvent = {
      type: events.migrationRequested.type,
      data: { migrationId, plan: plan(2), concurrency: 1, deadlineAt: until },
    };
    const [told, ...more] = decided([timed, started(0)], { kind: 'advance', at: later, starts: [start(1)] });
    expect(more).toEqual([]);
    expect(told).toMatchObject({ data: { cancel: { workflowIds: [] }, cause: { code: 'migration.time_is_up' } } });
    expect(decided([timed, started(0), told!], end(0, 'succeeded', [start(1)])).at(-1)).toEqual(
      endedWith('migration.time_is_up', { succeeded: 1, undone: 0, failed: 0, notBegun: 1 }),
    );
  });
  test('no pause of what has ended, or is cancelled', () => {
    given(migrationDecider).when(pause('cancel')).thenRejected('migration.unknown');
    const cancelled: MigrationEvent = {
      type: events.migrationCancelRequested.type,
      data: { migrationId, reason: 'x', cancel: { workflowIds: ['mov-0'], reason: 'x' } },
    };
    given(migrationDecider, [...history, cancelled])
      .when(pause('cancel'))
      .thenRejected('migration.cancelling');
  });
});

test('held by others alone it waits; whom nobody can make ready it goes without', () => {
  const history = [requested(2, 2, { limits: { perTarget: 1 } }), started(0), moved(0)];
  const around: Around = { others: [{ fromHost: 'z', toHost: 'b' }], rackOf: new Map() };
  given(migrationDecider, history)
    .when({ kind: 'advance', at: AT, starts: [start(1)], around })
    .thenNothing();
  given(migrationDecider, history)
    .when({ kind: 'advance', at: AT, starts: [start(1)], around: nothingAround })
    .then([started(1)]);
  expect(decided(history, { kind: 'advance', at: AT, starts: [], unready: [vm(1)] }).at(-1)).toEqual(
    endedWith('migration.incomplete', { succeeded: 1, undone: 0, failed: 0, notBegun: 1 }),
  );
});

const host = fc.constantFrom('h1', 'h2', 'h3');
const route = fc.record({ fromHost: host, toHost: host });
const limit = fc.integer({ min: 1, max: 3 });
const policyOf = fc.record(
  {
    canary: fc.integer({ min: 1, max: 3 }),
    waves: fc.record({ first: fc.integer({ min: 1, max: 3 }), growth: fc.integer({ min: 1, max: 2 }) }),
    maxFailures: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constantFrom('10%', '50%', '100%')),
    limits: fc.record({ perSource: limit, perTarget: limit, perHost: limit, perRack: limit, fleet: limit }, { requiredKeys: [] }),
    after: fc.constantFrom<Record<string, string[]>>({ [vm(0)]: [vm(1)] }, { [vm(1)]: [vm(0)] }, {}),
  },
  { requiredKeys: [] },
);
const turn = fc.record({
  pick: fc.nat(),
  fate: fc.constantFrom<Fate>('succeeded', 'succeeded', 'succeeded', 'undone', 'failed'),
  twice: fc.boolean(),
  others: fc.array(route, { maxLength: 2 }),
  act: fc.constantFrom('', '', '', 'pause', 'resume', 'cancel'),
  gone: fc.boolean(),
});

const rackOf = new Map([
  ['h1', 'r1'],
  ['h2', 'r1'],
  ['h3', 'r2'],
]);

/** Where one of these has just begun no more run than may, counted by itself: not by the class that decides. What others do is theirs. */
const expectCaps = (begun: readonly Route[], running: readonly Route[], limits: SetPolicy['limits'] = {}): void => {
  const most = (keys: (r: Route) => string[]): number => {
    const touched = begun.flatMap(keys);
    return Math.max(0, ...touched.map((k) => running.filter((r) => keys(r).includes(k)).length));
  };
  expect(most((r) => [r.fromHost])).toBeLessThanOrEqual(limits.perSource ?? Infinity);
  expect(most((r) => [r.toHost])).toBeLessThanOrEqual(limits.perTarget ?? Infinity);
  expect(most((r) => [r.fromHost, r.toHost])).toBeLessThanOrEqual(limits.perHost ?? Infinity);
  expect(most((r) => [rackOf.get(r.fromHost)!, rackOf.get(r.toHost)!])).toBeLessThanOrEqual(limits.perRack ?? Infinity);
  expect(most(() => ['fleet'])).toBeLessThanOrEqual(limits.fleet ?? Infinity);
};

test('any policy, any order of ends, pauses and cancels: caps hold, each VM is in one state, and no set stays in limbo', () => {
  const run = fc.record({
    policy: policyOf,
    routes: fc.array(route, { minLength: 2, maxLength: 8 }),
    concurrency: fc.integer({ min: 1, max: 4 }),
    turns: fc.array(turn, { maxLength: 20 }),
  });
  fc.assert(
    fc.property(run, ({ policy, routes, concurrency, turns }) => {
      let state: MigrationState = migrationDecider.initial;
      const known = () => state as Exclude<MigrationState, { status: 'none' }>;
      const running = (): readonly MoveState[] => known().moves.filter((m) => m.state === 'running');
      const index = (id: string): number => Number(id.slice(3));
      const starts = (around: Around, unready: ReadonlySet<string>, s = state): Start[] =>
        wanted(s, around, unready).map((id) => start(index(id)));
      const apply = (command: MigrationCommand, around: Around = { others: [], rackOf }): void => {
        const decision = migrationDecider.decide(command, state);
        if (!decision.ok) return;
        const begun = decision.events.flatMap((e) => (e.type === events.moveStarted.type ? [routes[index(e.data.vmId)]!] : []));
        state = fold(migrationDecider.evolve, state, decision.events);
        const own = running().map((m) => routes[index(m.vmId)]!);
        expectCaps(begun, [...around.others, ...own], policy.limits);
        expect(own.length).toBeLessThanOrEqual(concurrency);
        expect(new Set(known().moves.map((m) => m.vmId)).size).toBe(known().moves.length);
      };
      const all = routes.map((_, i) => start(i));
      apply({ kind: 'request', migrationId, plan: planOf(routes), concurrency, policy, starts: all, around: { others: [], rackOf } });
      const free: Around = { others: [], rackOf };
      for (const t of turns) {
        if (known().status !== 'running') break;
        if (t.act === 'pause') apply({ kind: 'pause', migrationId, reason: 'x', until: AT, then: 'resume' });
        if (t.act === 'resume') apply({ kind: 'resume', migrationId, starts: all, around: free }, free);
        if (t.act === 'cancel' && t.pick % 3 === 0) apply({ kind: 'cancel', migrationId, reason: 'x' });
        const around: Around = { others: t.others, rackOf };
        const now = running();
        const move = now[t.pick % Math.max(1, now.length)];
        if (!move) continue;
        const unready = t.gone ? new Set(eligible(known()).slice(0, 1)) : none;
        const offered = starts(around, unready, expecting(state, end(index(move.vmId), t.fate) as never));
        const command: MigrationCommand = {
          ...{ kind: 'end-move', moveId: move.moveId, state: t.fate },
          ...{ starts: t.pick % 2 ? offered : all, around, unready: [...unready] },
        };
        apply(command, around);
        if (t.twice) apply(command, around);
      }
      // Left to itself, with nobody around: the time of a pause is up, moves end, and each look goes on with it.
      for (let n = 0; known().status === 'running' && n < 3 * routes.length; n++) {
        apply({ kind: 'advance', at: '2099-01-01T00:00:00.000Z', starts: all, around: free }, free);
        const [move] = running();
        if (move)
          apply(
            {
              kind: 'end-move',
              moveId: move.moveId,
              state: 'succeeded',
              starts: starts(free, none, expecting(state, end(index(move.vmId), 'succeeded') as never)),
              around: free,
            },
            free,
          );
      }
      expect(known().status).not.toBe('running');
      expect(running()).toEqual([]);
      if (known().status === 'succeeded') expect(known().moves.filter((m) => m.state === 'succeeded').length).toBe(routes.length);
    }),
    { numRuns: 1000 },
  );
});
