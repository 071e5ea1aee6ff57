import { expect } from '@jest/globals';
import { fold, type Decider, type Decision, type Rejection } from '@chrysalis/kernel';

/** Given / when / then with Jest's own comparison, which knows Map and Set across module realms. */
export const given = <C, S, E, R extends Rejection>(decider: Decider<C, S, E, Decision<E, R>>, events: readonly E[] = []) => ({
  when: (command: C) => {
    const before = fold(decider.evolve, decider.initial, events);
    const decision = decider.decide(command, before);
    expect(before).toEqual(fold(decider.evolve, decider.initial, events)); // deciding changes nothing
    return {
      then: (expected: readonly E[]): S => {
        expect(decision).toEqual({ ok: true, events: expected });
        return fold(decider.evolve, before, expected);
      },
      thenNothing: (): void => expect(decision).toEqual({ ok: true, events: [] }),
      thenRejected: (code: R['code'], evidence: Partial<R> = {}): void =>
        expect(decision).toMatchObject({ ok: false, rejection: { code, ...evidence } }),
    };
  },
});
