import { describe, expect, test } from '@jest/globals';
import { restartPolicies, type ObservedState, type RestartPolicy } from '@chrysalis/contracts';
import { fold } from '@chrysalis/kernel';
import { given } from '@chrysalis/testing/decider';
import fc from 'fast-check';
import { MOST_RESTARTS, restartDelayMs, vmDecider, type KnownVm, type VmCommand, type VmEvent } from '../index.ts';
import { asked, p, runningVm, small, vmId } from '../test/running-vm.ts';

const T0 = Date.parse('2026-01-01T00:00:00.000Z');
const at = (ms: number): string => new Date(T0 + ms).toISOString();
const request = (workflowId: string) => asked(workflowId, 'start', { force: true });
const running = (restart?: RestartPolicy): VmEvent[] => runningVm(at(0), restart);
const off = (state: ObservedState, since: number) => ({ state, since: at(since) });
const look = (state: ObservedState, since: number, now: number, place = { hostId: 'a', epoch: 1 }): VmCommand => ({
  type: 'consider-restart',
  vmId,
  seen: { ...place, observed: off(state, since) },
  now: at(now),
  request: request('op-r'),
});
const planned = (state: ObservedState, since: number, attempt: number, due: number): VmEvent => ({
  type: `${p}restart-planned.v1`,
  data: { vmId, hostId: 'a', attempt, dueAt: at(due), observed: off(state, since) },
});
const begun = (state: ObservedState, since: number, attempt: number): VmEvent => ({
  type: `${p}action-requested.v1`,
  data: { vmId, action: 'start', options: { force: true }, request: request('op-r'), restart: { attempt, observed: off(state, since) } },
});
const started = (ms: number): VmEvent => ({
  type: `${p}action-ended.v1`,
  data: { vmId, workflowId: 'op-r', action: 'start', outcome: 'succeeded', at: at(ms) },
});
const failed = (action: 'start' | 'stop'): VmEvent => ({
  type: `${p}action-ended.v1`,
  data: { vmId, workflowId: 'op-r', action, outcome: 'failed', cause: { code: 'task.timed_out', message: 'no answer' } },
});
const calledOff = (attempts: number, reason: 'limit' | 'runs'): VmEvent => ({
  type: `${p}restart-called-off.v1`,
  data: { vmId, attempts, reason },
});
const vm = (...events: VmEvent[]) => ({
  when: (command: VmCommand) => ({ then: (...expected: VmEvent[]) => given(vmDecider, events).when(command).then(expected) }),
});

describe('a VM that goes off though it is meant to run', () => {
  test.each([
    ['never', 'gone', false],
    ['never', 'shut-down', false],
    ['on-failure', 'gone', true],
    ['on-failure', 'panicked', true],
    ['on-failure', 'shut-down', false],
    ['always', 'shut-down', true],
    ['always', 'gone', true],
    ['always', 'running', false],
    ['always', 'paused', false],
    ['always', 'io-error', false],
    ['always', 'unknown', false],
  ] as const)('%s, seen %s: started again %s', (policy, state, yes) => {
    vm(...running(policy))
      .when(look(state, 5_000, 5_500))
      .then(...(yes ? [planned(state, 5_000, 1, 15_500)] : []));
  });

  test('of before, or without a policy, stays off', () => {
    vm(...running())
      .when(look('gone', 5_000, 5_500))
      .then();
  });

  test('is started when its time has come, once', () => {
    const plan = [...running('on-failure'), planned('gone', 5_000, 1, 15_500)];
    vm(...plan)
      .when(look('gone', 5_000, 15_499))
      .then();
    vm(...plan)
      .when(look('gone', 5_000, 15_500))
      .then(begun('gone', 5_000, 1));
    vm(...plan, begun('gone', 5_000, 1))
      .when(look('gone', 5_000, 15_600))
      .then();
    // What was seen before the start is said of the life before, however late it is looked at.
    vm(...plan, begun('gone', 5_000, 1), started(20_000))
      .when(look('gone', 5_000, 20_100))
      .then();
  });

  test('waits longer each time; after it ran well, as the first time', () => {
    const again = [...running('on-failure'), planned('gone', 5_000, 1, 15_000), begun('gone', 5_000, 1), started(20_000)];
    vm(...again)
      .when(look('gone', 30_000, 30_000))
      .then(planned('gone', 30_000, 2, 50_000));
    vm(...again)
      .when(look('gone', 620_000, 620_000))
      .then(planned('gone', 620_000, 1, 630_000));
  });

  test('a start that failed is a failure, whatever its undo left to be seen, and the count goes on', () => {
    vm(...running('on-failure'), planned('gone', 700_000, 1, 710_000), begun('gone', 700_000, 1), failed('start'))
      .when(look('shut-down', 900_000, 900_000))
      .then(planned('shut-down', 900_000, 2, 920_000));
  });

  test('is given up aloud, once; a person who starts it begins anew', () => {
    const tried = [
      ...running('on-failure'),
      planned('gone', 5_000, MOST_RESTARTS, 15_000),
      begun('gone', 5_000, MOST_RESTARTS),
      started(20_000),
    ];
    vm(...tried)
      .when(look('gone', 30_000, 30_000))
      .then(calledOff(MOST_RESTARTS, 'limit'));
    const over = [...tried, calledOff(MOST_RESTARTS, 'limit')];
    vm(...over)
      .when(look('gone', 31_000, 31_000))
      .then();
    const byHand: VmEvent = {
      type: `${p}action-requested.v1`,
      data: { vmId, action: 'start', options: { force: true }, request: request('op-r') },
    };
    vm(...over, byHand, started(40_000))
      .when(look('gone', 50_000, 50_000))
      .then(planned('gone', 50_000, 1, 60_000));
    vm(...over, { type: `${p}restart-policy-set.v1`, data: { vmId, policy: 'always' } })
      .when(look('gone', 31_000, 31_000))
      .then(planned('gone', 31_000, 1, 41_000));
  });

  test('that runs again by itself is not started', () => {
    const plan = [...running('on-failure'), planned('gone', 5_000, 1, 15_000)];
    vm(...plan)
      .when(look('running', 6_000, 15_000))
      .then(calledOff(1, 'runs'));
  });

  test('is left to who has it: a stop, a deletion, a move; and to whom the policy was taken from', () => {
    const plan = [...running('on-failure'), planned('gone', 5_000, 1, 15_000)];
    const meanwhile: VmEvent[] = [
      { type: `${p}action-requested.v1`, data: { vmId, action: 'stop', options: {}, request: request('op-s') } },
      { type: `${p}deletion-requested.v1`, data: { vmId, request: request('op-d') } },
      { type: `${p}move-begun.v1`, data: { vmId, moveId: 'mov-1', fromHost: 'a', toHost: 'b', fromType: small, toType: small } },
      { type: `${p}restart-policy-set.v1`, data: { vmId, policy: 'never' } },
    ];
    for (const event of meanwhile)
      vm(...plan, event)
        .when(look('gone', 5_000, 15_000))
        .then();
  });

  test('a guest that goes off after its stop gave up waiting was asked to', () => {
    const asked: VmEvent = { type: `${p}action-requested.v1`, data: { vmId, action: 'stop', options: {}, request: request('op-r') } };
    vm(...running('always'), asked, failed('stop'))
      .when(look('shut-down', 90_000, 90_000))
      .then();
    vm(...running('always'), asked, failed('stop'))
      .when(look('gone', 90_000, 90_000))
      .then(planned('gone', 90_000, 1, 100_000));
  });

  test('what another host says of it, or this one of an epoch before, is nothing', () => {
    for (const place of [
      { hostId: 'b', epoch: 1 },
      { hostId: 'a', epoch: 0 },
    ])
      vm(...running('always'))
        .when(look('gone', 5_000, 5_000, place))
        .then();
  });
});

test('the policy is set, and set again says nothing', () => {
  const set = (policy: RestartPolicy): VmCommand => ({ type: 'set-restart-policy', vmId, policy });
  vm(...running())
    .when(set('always'))
    .then({ type: `${p}restart-policy-set.v1`, data: { vmId, policy: 'always' } });
  vm(...running('always'))
    .when(set('always'))
    .then();
});

test('delays double from 10 s to 5 min', () => {
  expect([1, 2, 3, 4, 5, 6, 7, 8].map((n) => restartDelayMs(n) / 1_000)).toEqual([10, 20, 40, 80, 160, 300, 300, 300]);
});

test('whatever is looked at, in whatever order: no start without a plan whose time had come, one at a time, never more than are tried', () => {
  const states = ['running', 'shut-down', 'gone', 'panicked', 'unknown'] as const;
  const step = fc.record({
    what: fc.constantFrom('look', 'look', 'look', 'end', 'fail'),
    state: fc.constantFrom(...states),
    ago: fc.integer({ min: 0, max: 1_000 }),
    wait: fc.integer({ min: 0, max: 400_000 }),
  });
  fc.assert(
    fc.property(fc.constantFrom(...restartPolicies), fc.array(step, { maxLength: 60 }), (policy, steps) => {
      let state = fold(vmDecider.evolve, vmDecider.initial, running(policy)) as KnownVm;
      let now = 0;
      for (const { what, state: seen, ago, wait } of steps) {
        now += wait;
        const before = state;
        const end: VmEvent | undefined = before.action && (what === 'end' ? started(now) : what === 'fail' ? failed('start') : undefined);
        const decided = end ? { ok: true as const, events: [end] } : vmDecider.decide(look(seen, Math.max(0, now - ago), now), before);
        if (!decided.ok) throw new Error(decided.rejection.code);
        for (const e of decided.events) {
          if (e.type === `${p}action-requested.v1`) {
            expect(before.action).toBeUndefined();
            expect(Date.parse(before.restart.due!.at)).toBeLessThanOrEqual(T0 + now);
          }
          state = vmDecider.evolve(state, e) as KnownVm;
        }
        expect(state.restart.attempts).toBeLessThanOrEqual(MOST_RESTARTS);
        if (policy === 'never') expect(state.restart).toEqual({ policy, attempts: 0 });
      }
    }),
    { numRuns: 300 },
  );
});
