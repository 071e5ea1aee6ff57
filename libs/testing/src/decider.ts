import { expect } from '@jest/globals';
import { fold, type Decider, type Decision, type Rejection } from '@chrysalis/kernel';

/**
 * `given(decider, events).when(command).then(events)`, `.thenNothing()` or `.thenRejected(code, evidence)`. Pure: no mocks, no I/O.
 * Compared by Jest, which knows Map and Set across module realms. Deciding must not change the state: checked each time.
 */
export const given = <C, S, E, R extends Rejection>(decider: Decider<C, S, E, Decision<E, R>>, events: readonly E[] = []) => ({
  when: (command: C) => {
    const state = fold(decider.evolve, decider.initial, events);
    const decision = decider.decide(command, state);
    expect(state).toEqual(fold(decider.evolve, decider.initial, events));
    return {
      decision,
      then: (expected: readonly E[]): S => {
        expect(decision).toEqual({ ok: true, events: expected });
        return fold(decider.evolve, state, expected);
      },
      thenNothing: (): void => expect(decision).toEqual({ ok: true, events: [] }),
      thenRejected: (code: R['code'], evidence: Partial<R> = {}): void =>
        expect(decision).toMatchObject({ ok: false, rejection: { code, ...evidence } }),
    };
  },
  /** The state after the events. */
  state: (): S => fold(decider.evolve, decider.initial, events),
});
