import type { Instance } from './state.ts';

/** Fields are replaced on a copy of the instance's own record; nothing reachable from an earlier state is changed. */
export type Draft = { -readonly [K in keyof Instance]: Instance[K] };
