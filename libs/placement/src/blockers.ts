import type { Blocker } from '@chrysalis/contracts';
import type { Objection, Refused } from './types.ts';

/** A host's refusal as a plan, an option or a preflight tells it. */
export const blockerOf = (hostId: string, { code, message, remedy }: Objection): Blocker => ({
  code,
  subject: hostId,
  message: message.slice(0, 1024),
  remedy: remedy.slice(0, 512),
});

/** A fleet of thousands, none of which fits, has few kinds of reasons: of each so many hosts are named, and the others counted. */
const NAMED = 5;

/** What keeps every host from being chosen, in the hosts' order; behind them, of each code that more hosts have, how many more. */
export const blockersOf = (refused: readonly Refused[]): Blocker[] => {
  const counts = new Map<string, number>();
  const named: Blocker[] = [];
  for (const { hostId, reasons } of refused)
    for (const reason of reasons) {
      const count = (counts.get(reason.code) ?? 0) + 1;
      counts.set(reason.code, count);
      if (count <= NAMED) named.push(blockerOf(hostId, reason));
    }
  const more = [...counts].filter(([, count]) => count > NAMED).map(([code, count]) => others(code, count - NAMED));
  return [...named, ...more];
};

const others = (code: string, count: number): Blocker => ({
  code,
  subject: `${count} more`,
  message: `the same is so of ${count} more host${count === 1 ? '' : 's'}`,
  remedy: 'chrysalis host list shows how each stands',
});
