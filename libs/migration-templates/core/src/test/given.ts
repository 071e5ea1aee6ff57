import { expect } from '@jest/globals';
import { fold, type Decider, type Decision, type Rejection } from '@chrysalis/kernel';

/** Given / when / then with Jest's own comparison: a clone made outside of Jest's realm is never strictly equal to what was made inside. */
export const given = <C, S, E, R extends Rejection>(decider: Decider<C, S, E, Decision<E, R>>, events: readonly E[] = []) => ({
  when: (command: C) => {
    const state = fold(decider.evolve, decider.initial, events);
    const decision = decider.decide(command, state);
    expect(state).toEqual(fold(decider.evolve, decider.initial, events)); // deciding changes nothing
    return {
      then: (expected: readonly E[]): void => expect(decision).toEqual({ ok: true, events: expected }),
      thenNothing: (): void => expect(decision).toEqual({ ok: true, events: [] }),
      thenRejected: (code: R['code']): void => expect(decision).toMatchObject({ ok: false, rejection: { code } }),
    };
  },
});
