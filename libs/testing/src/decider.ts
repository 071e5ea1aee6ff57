import { deepStrictEqual } from 'node:assert/strict';
import { fold, type Decider, type Decision, type Rejection } from '@chrysalis/kernel';

/**
 * `given(decider, events).when(command).then(events)` or `.thenRejected(code)`. Pure: no mocks, no I/O. Failures show the difference.
 * Deciding must not change the state it decides on; that is checked each time.
 */
export const given = <C, S, E, R extends Rejection>(decider: Decider<C, S, E, Decision<E, R>>, events: readonly E[] = []) => ({
  when: (command: C) => {
    const state = fold(decider.evolve, decider.initial, events);
    const before = structuredClone(state);
    const decision = decider.decide(command, state);
    deepStrictEqual(state, before, 'decide changed the state it was given');
    return {
      decision,
      then: (expected: readonly E[]): S => {
        deepStrictEqual(decision, { ok: true, events: expected });
        return fold(decider.evolve, state, expected);
      },
      thenNothing: (): void => deepStrictEqual(decision, { ok: true, events: [] }),
      thenRejected: (code: R['code'], evidence?: Partial<R>): void => {
        if (decision.ok) throw new Error(`expected the rejection ${code}, got ${JSON.stringify(decision.events)}`);
        deepStrictEqual(decision.rejection.code, code);
        for (const [name, value] of Object.entries(evidence ?? {})) deepStrictEqual(decision.rejection[name], value, name);
      },
    };
  },
  /** The state after the events. */
  state: (): S => fold(decider.evolve, decider.initial, events),
});
