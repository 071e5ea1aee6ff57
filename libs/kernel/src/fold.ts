/** A decider: pure, no I/O, no clock, no ids; all of these come in with the command. */
export type Decider<C, S, E, D> = {
  readonly initial: S;
  readonly decide: (command: C, state: S) => D;
  readonly evolve: (state: S, event: E) => S;
};

export const fold = <S, E>(evolve: (state: S, event: E) => S, initial: S, events: Iterable<E>): S => {
  let state = initial;
  for (const event of events) state = evolve(state, event);
  return state;
};
