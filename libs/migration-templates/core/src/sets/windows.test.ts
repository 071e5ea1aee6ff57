import { describe, expect, test } from '@jest/globals';
import { migrationTemplatesEvents as events, windowsAt, type Plan, type SetPolicy, type Window } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import {
  expecting,
  migrationDecider,
  nextLook,
  setFault,
  wanted,
  type MigrationCommand,
  type MigrationEvent,
  type MigrationState,
  type SetCommand,
  type Start,
} from '../migration.ts';
import { nothingAround } from './caps.ts';
import { deadlineOf } from './windows.ts';

const migrationId = 'mig-1';
const ref = { name: 'x', version: 1 };
const ids = (n: number): string[] => Array.from({ length: n }, (_, i) => `vm-${i}`);
const planOf = (n: number): Plan => ({
  ...{ planId: 'plan-1', at: '2026-12-01T00:00:00.000Z', basis: { template: ref, vmVersions: {}, hostGenerations: {} } },
  moves: ids(n).map((vmId) => ({ vmId, fromHost: 'a', toHost: 'b', fromType: ref, toType: ref, steps: [], blockers: [] })),
});
const start = (vmId: string): Start => ({
  moveId: `mov-${vmId}`,
  vmId,
  request: { workflowId: `mov-${vmId}`, definition: {} as never, params: {}, subject: `mov-${vmId}` },
});
const ZERO = Date.parse('2026-12-01T00:00:00.000Z');
const minute = (n: number): string => new Date(ZERO + n * 60_000).toISOString();
const window = (from: number, until: number): Window => ({ from: minute(from), until: minute(until) });

describe('windows', () => {
  test('from its beginning to before its end; of those that overlap the one that ends last; the next one whatever is open', () => {
    const all = [window(30, 40), window(10, 20), window(15, 25)];
    expect(windowsAt(all, minute(9))).toEqual({ next: window(10, 20) });
    expect(windowsAt(all, minute(10))).toEqual({ open: window(10, 20), next: window(15, 25) });
    expect(windowsAt(all, minute(16))).toEqual({ open: window(15, 25), next: window(30, 40) });
    expect(windowsAt(all, minute(25))).toEqual({ next: window(30, 40) });
    expect(windowsAt(all, minute(40))).toEqual({});
    expect(windowsAt([], minute(0))).toEqual({});
  });

  test('none that is to come, or none before its deadline: it is not begun', () => {
    const policy = { windows: [window(10, 20)] };
    expect(setFault(ids(1), policy, { now: minute(20) })).toMatchObject({ code: 'migration.windows_past' });
    expect(setFault(ids(1), policy, { now: minute(0), deadlineAt: minute(10) })).toMatchObject({ code: 'migration.windows_past' });
    expect(setFault(ids(1), policy, { now: minute(19) })).toBeUndefined();
    expect(deadlineOf({ policy }, minute(0))).toBe(minute(20));
    expect(deadlineOf({ policy, deadlineMs: 60_000 }, minute(0))).toBe(minute(1));
    expect(deadlineOf({}, minute(0))).toBe(minute(7 * 24 * 60));
  });

  const requested: MigrationEvent = {
    type: events.migrationRequested.type,
    data: { migrationId, plan: planOf(2), concurrency: 1, policy: { windows: [window(10, 20), window(30, 40)] } },
  };
  const started: MigrationEvent = { type: events.moveStarted.type, data: { migrationId, ...start('vm-0') } };
  const moved: MigrationEvent = {
    type: events.moveEnded.type,
    data: { migrationId, moveId: 'mov-vm-0', vmId: 'vm-0', state: 'succeeded' },
  };
  const ends = (now: number): MigrationCommand => ({
    ...{ kind: 'end-move', moveId: 'mov-vm-0', state: 'succeeded', starts: [start('vm-1')], now: minute(now) },
  });
  const look = (at: number): MigrationCommand => ({ kind: 'advance', at: minute(at), starts: [start('vm-1')], now: minute(at) });
  const later: MigrationEvent = { type: events.moveStarted.type, data: { migrationId, ...start('vm-1') } };

  test('what has begun goes on past its window, and the rest waits for the next one', () => {
    given(migrationDecider, [requested, started]).when(ends(15)).then([moved, later]);
    given(migrationDecider, [requested, started]).when(ends(25)).then([moved]);
    given(migrationDecider, [requested, started, moved]).when(look(29)).thenNothing();
    given(migrationDecider, [requested, started, moved]).when(look(30)).then([later]);
    const waiting = fold(migrationDecider.evolve, migrationDecider.initial, [requested, started, moved]);
    expect(nextLook(waiting, minute(25))).toBe(minute(30));
    expect(nextLook(waiting, minute(5))).toBe(minute(10));
  });

  test('with the last one it ends, and says so; what runs then goes on to its own end', () => {
    const decision = migrationDecider.decide(look(40), fold(migrationDecider.evolve, migrationDecider.initial, [requested, started]));
    const [closed, ...none] = decision.ok ? decision.events : [];
    expect(none).toEqual([]);
    expect(closed).toMatchObject({ data: { cause: { code: 'migration.window_closed' }, cancel: { workflowIds: [] } } });
    const ended = migrationDecider.decide(ends(45), fold(migrationDecider.evolve, migrationDecider.initial, [requested, started, closed!]));
    expect(ended.ok && ended.events.at(-1)).toMatchObject({
      data: { state: 'failed', cause: { code: 'migration.window_closed' }, counts: { succeeded: 1, notBegun: 1 } },
    });
  });

  test('also where its deadline is that of its last window, as it is unless told: it is the window that closed', () => {
    const unlessTold = { ...requested, data: { ...requested.data, deadlineAt: minute(40) } };
    const decision = migrationDecider.decide(
      look(40),
      fold(migrationDecider.evolve, migrationDecider.initial, [unlessTold, started, moved]),
    );
    expect(decision.ok && decision.events[0]).toMatchObject({ data: { cause: { code: 'migration.window_closed' } } });
  });
});

type Known = Exclude<MigrationState, { status: 'none' }>;
type Begun = { readonly at: number; readonly vmId: string };
/** A set that is left to itself in a time of its own: moves take what they take, and it is looked at when it says. Answers when each began. */
const goneThrough = (
  policy: SetPolicy,
  concurrency: number,
  takes: readonly number[],
  deadline: number,
): { begun: Begun[]; endedAt: number; state: Known } => {
  let state: MigrationState = migrationDecider.initial;
  const begun: Begun[] = [];
  const running = new Map<string, number>();
  const apply = (command: MigrationCommand, at: number): void => {
    const decision = migrationDecider.decide(command, state);
    if (!decision.ok) throw new Error(decision.rejection.code);
    state = fold(migrationDecider.evolve, state, decision.events);
    for (const e of decision.events)
      if (e.type === events.moveStarted.type) {
        begun.push({ at, vmId: e.data.vmId });
        running.set(e.data.moveId, at + takes[Number(e.data.vmId.slice(3))]! * 60_000);
      }
  };
  const ready = (s: MigrationState, at: string) => ({ starts: wanted(s, nothingAround, new Set(), at).map(start), now: at });
  const deadlineAt = minute(deadline);
  let at = ZERO;
  const asked = { migrationId, plan: planOf(takes.length), concurrency, policy, deadlineAt };
  apply({ kind: 'request', ...asked, starts: ids(takes.length).map(start), now: minute(0) }, at);
  for (let n = 0; (state as Known).status === 'running'; n++) {
    if (n > 10_000) throw new Error('in limbo');
    const look = nextLook(state, new Date(at).toISOString());
    const first = [...running].sort((a, b) => a[1] - b[1])[0];
    const lookAt = look === undefined ? Infinity : Math.max(at, Date.parse(look));
    at = Math.min(lookAt, first?.[1] ?? Infinity);
    if (at === Infinity) throw new Error('nobody will ever look at it again');
    const now = new Date(at).toISOString();
    const ended = first && first[1] <= at ? first[0] : undefined;
    if (ended !== undefined) running.delete(ended);
    const command: SetCommand =
      ended === undefined ? { kind: 'advance', at: now } : { kind: 'end-move', moveId: ended, state: 'succeeded' };
    apply({ ...command, ...ready(expecting(state, command), now) } as MigrationCommand, at);
  }
  return { begun, endedAt: at, state: state as Known };
};

test('for any windows no move begins outside of them, each that may begins, and the set ends by its last window or its deadline', () => {
  const some = fc.array(fc.tuple(fc.integer({ min: 0, max: 120 }), fc.integer({ min: 1, max: 30 })).map(([from, long]) => window(from, from + long)), { minLength: 1, maxLength: 4 }); // prettier-ignore
  const set = fc.record({
    windows: some,
    concurrency: fc.integer({ min: 1, max: 3 }),
    takes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 }),
    deadline: fc.integer({ min: 1, max: 200 }),
    limits: fc.constantFrom(undefined, { perTarget: 2 }),
  });
  fc.assert(
    fc.property(set, ({ windows, concurrency, takes, deadline, limits }) => {
      const policy: SetPolicy = { windows, ...(limits ? { limits } : {}) };
      const fault = setFault(ids(takes.length), policy, { now: minute(0), deadlineAt: minute(deadline) });
      fc.pre(fault === undefined);
      const { begun, endedAt, state } = goneThrough(policy, concurrency, takes, deadline);
      for (const b of begun) {
        expect(windows.some((w) => Date.parse(w.from) <= b.at && b.at < Date.parse(w.until))).toBe(true);
        expect(b.at).toBeLessThan(Date.parse(minute(deadline)));
      }
      expect(new Set(begun.map((b) => b.vmId)).size).toBe(begun.length);
      // What began last has ended, or the last time at which anything could have begun has come.
      const last = Math.max(0, ...begun.map((b) => b.at + takes[Number(b.vmId.slice(3))]! * 60_000));
      const closing = Math.min(Date.parse(minute(deadline)), Math.max(...windows.map((w) => Date.parse(w.until))));
      expect(endedAt).toBeLessThanOrEqual(Math.max(last, closing));
      expect(state.status).toBe(begun.length === takes.length ? 'succeeded' : 'failed');
      if (begun.length < takes.length) expect(['migration.window_closed', 'migration.time_is_up']).toContain(state.cancelCause?.code);
    }),
    { numRuns: 1000 },
  );
});
