import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import type { VmView } from '../../fleet/story.ts';
import type { Lab } from './lab.ts';

/** What was to be seen and what was, member by member; `vm`: the one that it is about. */
export type Seen = { readonly expected: object; readonly observed: object; readonly vm?: VmView };
/** One line of the table. It begins with VMs in any state that another one may have left, and says nothing that it has not looked at. */
export type Claim = { readonly name: string; readonly see: (lab: Lab) => Promise<Seen> };

/** What comes comes soon, and is taken as it is when it has come, or when the time is over. */
export const settles = async (
  expected: object,
  look: () => Promise<object>,
  timeoutMs = 45_000,
): Promise<Pick<Seen, 'expected' | 'observed'>> => {
  const until = Date.now() + timeoutMs;
  let observed = await look();
  while (!isDeepStrictEqual(observed, expected) && Date.now() < until) {
    await sleep(100);
    observed = await look();
  }
  return { expected, observed };
};

/** Nothing expected is nothing shown, and what was never measured apart from it neither. */
export const holds = ({ expected, observed }: Pick<Seen, 'expected' | 'observed'>): boolean =>
  expected !== observed && Object.keys(expected).length > 0 && isDeepStrictEqual(observed, expected);
