import { describe, expect, test } from '@jest/globals';
import type { LifecycleEvent } from '@chrysalis/hypervisor';
import fc from 'fast-check';
import { newVmState, type VmState } from '../durable/vm-state.ts';
import { BURST, full, REFILL_MS, spend } from './allowance.ts';
import { candidateOf, happened, looked, sayable, type Candidate, type Known, type Look } from './known.ts';

const t0 = Date.UTC(2026, 0, 1);
const iso = (ms: number): string => new Date(t0 + ms).toISOString();
const event = (kind: LifecycleEvent['kind'], state: LifecycleEvent['state'], ms: number): LifecycleEvent => ({
  vmId: 'vm-1',
  kind,
  state,
  by: 'guest',
  code: kind === 'shut-down' ? 'vm.shut_down' : 'vm.reset',
  message: 'why',
  atUs: (t0 + ms) * 1000,
  migrating: false,
});
const running = looked(undefined, 1, { state: 'running' }, { nowMs: t0 })!;

describe('what is known of a VM', () => {
  test('a state is since its event, with its cause, and running has none', () => {
    const off = happened(running, 1, event('shut-down', 'shut-down', 10))!;
    expect(off.observed).toEqual({
      state: 'shut-down',
      since: iso(10),
      cause: { code: 'vm.shut_down', message: 'why' },
      resets: 0,
      changes: 1,
    });
    expect(happened(off, 1, event('shut-down', 'shut-down', 11))).toBe(off);
    expect(looked(off, 1, { state: 'shut-down' }, { nowMs: t0 + 99 })).toBe(off);
    expect(happened(off, 1, event('resumed', 'running', 20))!.observed).toEqual({
      state: 'running',
      since: iso(20),
      resets: 0,
      changes: 2,
    });
  });

  test('restarts are counted, at another epoch anew', () => {
    const twice = [1, 2].reduce<Known | undefined>((k, ms) => happened(k, 1, event('reset', 'running', ms)), running)!;
    expect(twice.observed).toMatchObject({ state: 'running', since: iso(0), resets: 2, lastResetAt: iso(2), changes: 2 });
    expect(happened(twice, 1, { ...event('reset', 'running', 3), again: true })).toBe(twice); // its firmware's
    expect(looked(twice, 2, { state: 'running' }, { nowMs: t0 + 9 })).toMatchObject({ epoch: 2, observed: { resets: 0, changes: 0 } });
  });

  test('a pause, or no answer, is news only when it stands', () => {
    for (const look of [{ state: 'paused' } as const, 'silent' as const]) {
      let candidate: Candidate | undefined;
      let known: Known | undefined = running;
      const at = (ms: number, l: Look): string | undefined => {
        candidate = candidateOf(candidate, l, t0 + ms);
        known = looked(known, 1, l, { nowMs: t0 + ms, candidate });
        return known?.observed.state;
      };
      expect([at(1_000, look), at(3_000, look), at(4_000, { state: 'running' }), at(5_000, look), at(9_000, look)]).toEqual(
        Array(5).fill('running'),
      );
      expect(at(10_000, look)).toBe(look === 'silent' ? 'unknown' : 'paused');
      expect(known?.observed.since).toBe(iso(5_000));
    }
  });

  test('in a transfer ends are said and pauses are not; before the switch-over, and of a VM that is being made, nothing', () => {
    const state = (more: object): VmState => ({ ...newVmState('vm-1', 'acme', 1), role: 'runner', ...more }) as VmState;
    expect(sayable(state({}))).toBe('nothing');
    expect(sayable(state({ booted: true }))).toBe('all');
    for (const role of ['incoming', 'fenced', 'none']) expect(sayable(state({ booted: true, role }))).toBe('nothing');
    expect(sayable(state({ booted: true, move: { side: 'source', phase: 'transferring' } }))).toBe('ends');
    for (const phase of ['returned', 'reclaimed']) expect(sayable(state({ move: { side: 'source', phase } }))).toBe('all');
    expect(sayable(state({ move: { side: 'target', phase: 'running' } }))).toBe('nothing');
    expect(sayable(state({ move: { side: 'target', phase: 'running', resumedAt: iso(0) } }))).toBe('all');
  });

  test('whatever a guest does, what is said of it in a while is bounded, and in the end it is so', () => {
    const gaps = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 300 });
    fc.assert(
      fc.property(gaps, (waits) => {
        let allowance = full(0);
        let now = 0;
        let said = 0;
        for (const wait of waits) {
          now += wait;
          const left = spend(allowance, now);
          if (left) [allowance, said] = [left, said + 1];
        }
        expect(said).toBeLessThanOrEqual(BURST + now / REFILL_MS);
        expect(spend(allowance, now + REFILL_MS)).toBeDefined();
      }),
    );
  });
});
