import { describe, expect, test } from '@jest/globals';
import { migrationTemplatesEvents as events, type Plan } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import { controlPlaneMs, moveState } from './figures.ts';
import { migrationDecider, waiting, type MigrationCommand, type MigrationEvent, type MigrationState, type Start } from './migration.ts';
import { AT } from './test/fixtures.ts';

const ref = { name: 'x', version: 1 };
const plan = (n: number): Plan => ({
  planId: 'plan-1',
  at: AT,
  basis: { template: ref, vmVersions: {}, hostGenerations: {} },
  moves: Array.from({ length: n }, (_, i) => ({
    vmId: `vm-${i}`,
    fromHost: 'a',
    toHost: 'b',
    fromType: ref,
    toType: ref,
    steps: [],
    blockers: [],
  })),
});
const start = (i: number): Start => ({
  moveId: `mov-${i}`,
  vmId: `vm-${i}`,
  request: { workflowId: `mov-${i}`, definition: {} as never, params: {}, subject: `mov-${i}` },
});
const migrationId = 'mig-1';
const requested = (n: number, concurrency: number): MigrationEvent => ({
  type: events.migrationRequested.type,
  data: { migrationId, plan: plan(n), concurrency },
});
const started = (i: number): MigrationEvent => ({ type: events.moveStarted.type, data: { migrationId, ...start(i) } });
const cause = { code: 'guest.refused', message: 'no' };
const moved = (i: number, state: 'succeeded' | 'undone' | 'failed' = 'succeeded'): MigrationEvent => ({
  type: events.moveEnded.type,
  data: { migrationId, moveId: `mov-${i}`, vmId: `vm-${i}`, state, ...(state === 'succeeded' ? {} : { cause }) },
});
const ended = (state: 'succeeded' | 'undone' | 'failed' | 'cancelled', why?: object): MigrationEvent => ({
  type: events.migrationEnded.type,
  data: { migrationId, state, ...(why ? { cause: why as never } : {}), counts: expect.any(Object) as never },
});
const resumed = (i: number): MigrationEvent => ({
  type: events.moveResumed.type,
  data: { migrationId, moveId: `mov-${i}`, vmId: `vm-${i}`, reason: 'the guest is back', by: 'user:anna' },
});
const resume = (i: number): MigrationCommand => ({ kind: 'resume-move', moveId: `mov-${i}`, reason: 'the guest is back', by: 'user:anna' });
const end = (i: number, state: 'succeeded' | 'undone' | 'failed', starts: Start[] = []): MigrationCommand => ({
  kind: 'end-move',
  moveId: `mov-${i}`,
  state,
  ...(state === 'succeeded' ? {} : { cause }),
  starts,
});

describe('a migration', () => {
  test('begins as many moves as it may at once; asked again it says nothing', () => {
    const request: MigrationCommand = { kind: 'request', migrationId, plan: plan(3), concurrency: 2, starts: [start(0), start(1)] };
    given(migrationDecider)
      .when(request)
      .then([requested(3, 2), started(0), started(1)]);
    given(migrationDecider, [requested(3, 2), started(0)])
      .when(request)
      .thenNothing();
    given(migrationDecider, [requested(3, 2)])
      .when({ ...request, plan: { ...plan(3), planId: 'plan-2' } })
      .thenRejected('migration.conflict');
  });
  test('goes on with the next, and ends with the last', () => {
    given(migrationDecider, [requested(2, 1), started(0)])
      .when(end(0, 'succeeded', [start(1)]))
      .then([moved(0), started(1)]);
    given(migrationDecider, [requested(2, 1), started(0), moved(0), started(1)])
      .when(end(1, 'succeeded'))
      .then([moved(1), ended('succeeded')]);
    given(migrationDecider, [requested(2, 1), started(0), moved(0), started(1)])
      .when(end(0, 'failed'))
      .thenNothing();
    given(migrationDecider, [requested(2, 1), started(0)])
      .when(end(7, 'failed'))
      .thenRejected('move.unknown');
  });
  test('begins nothing after a failure, lets the others end, and names the first cause', () => {
    given(migrationDecider, [requested(3, 2), started(0), started(1)])
      .when(end(0, 'undone', [start(2)]))
      .then([moved(0, 'undone')]);
    given(migrationDecider, [requested(3, 2), started(0), started(1), moved(0, 'undone')])
      .when(end(1, 'succeeded', [start(2)]))
      .then([moved(1), ended('failed', cause)]);
    given(migrationDecider, [requested(1, 1), started(0)])
      .when(end(0, 'undone'))
      .then([moved(0, 'undone'), ended('undone', cause)]);
    given(migrationDecider, [requested(1, 1), started(0)])
      .when(end(0, 'failed'))
      .then([moved(0, 'failed'), ended('failed', cause)]);
  });
  test('follows a move that an operator repairs after its end', () => {
    const failed = [requested(1, 1), started(0), moved(0, 'failed'), ended('failed', cause)];
    given(migrationDecider, failed)
      .when(resume(0))
      .then([resumed(0)]);
    given(migrationDecider, [...failed, resumed(0)])
      .when(resume(0))
      .thenNothing();
    given(migrationDecider, [...failed, resumed(0)])
      .when(end(0, 'succeeded'))
      .then([moved(0), ended('succeeded')]);
    given(migrationDecider, [...failed, resumed(0)])
      .when(end(0, 'undone'))
      .then([moved(0, 'undone'), ended('undone', cause)]);
    given(migrationDecider, [requested(1, 1), started(0)])
      .when(resume(0))
      .thenNothing();
    given(migrationDecider, [requested(1, 1), started(0)])
      .when(resume(7))
      .thenRejected('move.unknown');
  });
  test('repaired while others still run it goes on to the rest; once it has ended it begins nothing more', () => {
    given(migrationDecider, [requested(3, 2), started(0), started(1), moved(0, 'failed'), resumed(0)])
      .when(end(0, 'succeeded', [start(2)]))
      .then([moved(0), started(2)]);
    given(migrationDecider, [requested(2, 1), started(0), moved(0, 'failed'), ended('failed', cause), resumed(0)])
      .when(end(0, 'succeeded', [start(1)]))
      .then([moved(0), ended('failed', { code: 'migration.incomplete', message: 'not every VM was moved' })]);
  });
  test('cancelled: the running moves are asked to stop, once', () => {
    const cancelled: MigrationEvent = {
      type: events.migrationCancelRequested.type,
      data: { migrationId, reason: 'enough', cancel: { workflowIds: ['mov-0'], reason: 'enough' } },
    };
    const cancel: MigrationCommand = { kind: 'cancel', migrationId, reason: 'enough' };
    given(migrationDecider, [requested(2, 1), started(0)])
      .when(cancel)
      .then([cancelled]);
    given(migrationDecider, [requested(2, 1), started(0), cancelled])
      .when(cancel)
      .thenNothing();
    given(migrationDecider, [requested(2, 1), started(0), cancelled])
      .when(end(0, 'succeeded', [start(1)]))
      .then([moved(0), ended('cancelled', { code: 'migration.cancelled', message: 'enough' })]);
    given(migrationDecider, [requested(2, 1), started(0), cancelled])
      .when(end(0, 'failed'))
      .then([moved(0, 'failed'), ended('failed', cause)]);
    given(migrationDecider, [requested(1, 1), started(0), moved(0), ended('succeeded')])
      .when(cancel)
      .thenRejected('migration.ended');
    given(migrationDecider).when(cancel).thenRejected('migration.unknown');
  });
});

test('whatever the order of ends: never more at once than allowed, each VM once, and it ends when nothing runs', () => {
  const run = fc.record({
    n: fc.integer({ min: 1, max: 6 }),
    concurrency: fc.integer({ min: 1, max: 4 }),
    picks: fc.array(
      fc.record({
        pick: fc.nat(),
        fate: fc.constantFrom('succeeded' as const, 'succeeded' as const, 'undone' as const, 'failed' as const),
        twice: fc.boolean(),
        repair: fc.boolean(),
      }),
      { minLength: 6, maxLength: 12 },
    ),
  });
  fc.assert(
    fc.property(run, ({ n, concurrency, picks }) => {
      let state: MigrationState = migrationDecider.initial;
      const apply = (command: MigrationCommand): void => {
        const decision = migrationDecider.decide(command, state);
        if (decision.ok) state = fold(migrationDecider.evolve, state, decision.events);
      };
      apply({
        kind: 'request',
        migrationId,
        plan: plan(n),
        concurrency,
        starts: Array.from({ length: Math.min(n, concurrency) }, (_, i) => start(i)),
      });
      for (const { pick, fate, twice, repair } of picks) {
        if (state.status === 'none') throw new Error('not begun');
        const broken = state.moves.find((m) => m.state === 'failed');
        if (repair && broken) apply({ kind: 'resume-move', moveId: broken.moveId, reason: 'repaired' });
        const running = state.moves.filter((m) => m.state === 'running');
        expect(running.length).toBeLessThanOrEqual(concurrency + 1); // one that is repaired was not waited for
        expect(new Set(state.moves.map((m) => m.vmId)).size).toBe(state.moves.length);
        expect(state.status === 'running').toBe(running.length > 0);
        if (running.length === 0) break;
        const { moveId } = running[pick % running.length]!;
        const command: MigrationCommand = {
          kind: 'end-move',
          moveId,
          state: fate,
          starts: waiting(state).map((id) => start(Number(id.slice(3)))),
        };
        apply(command);
        if (twice) apply(command);
      }
      if (state.status === 'succeeded') expect(state.moves.filter((m) => m.state === 'succeeded').length).toBe(n);
    }),
    { numRuns: 500 },
  );
});

test('the time in which nobody else was waited for', () => {
  const at = (s: number): string => new Date(Date.parse(AT) + s * 1000).toISOString();
  const busy = [
    { startedAt: at(1), endedAt: at(3) },
    { startedAt: at(2), endedAt: at(4) },
    { startedAt: at(6), endedAt: at(7) },
    { startedAt: at(-5), endedAt: at(0.5) },
    { startedAt: at(9.5), endedAt: at(99) },
  ];
  expect(controlPlaneMs(at(0), at(10), busy)).toBe(5000);
  expect(controlPlaneMs(at(0), at(10), [])).toBe(10_000);
});

test('what a workflow came to', () => {
  expect(moveState('cancelled', ['begin-move'])).toBe('failed'); // given up: what it did is still there
  expect((['succeeded', 'undone', 'cancelled', 'failed', 'stopped'] as const).map((s) => moveState(s))).toEqual([
    'succeeded',
    'undone',
    'undone',
    'failed',
    'failed',
  ]);
});
