import type { Route, WorkflowEvent } from '@chrysalis/contracts';
import type { Draft } from '../instance/draft.ts';
import type { Bid, Offer } from '../instance/state.ts';
import { sooner } from '../instance/state.ts';
import { push } from '../structures/heap.ts';
import { get, set } from '../structures/vector.ts';

type Data<T extends string> = Extract<WorkflowEvent, { type: T }>['data'];
export const MAX_BIDS = 1_000;

export const offered = (draft: Draft, index: number, data: Data<'chrysalis.workflow.task.offered.v1'>): void => {
  const task = get(draft.tasks, index);
  const round = task.phase === 'offered' ? task.offer!.round + 1 : 1;
  const offer: Offer = { number: data.offer, round, closesAt: data.closesAt, bids: [] };
  draft.tasks = set(draft.tasks, index, { ...task, phase: 'offered', offer });
  draft.offers = data.offer;
  draft.timers = push(draft.timers, { at: Date.parse(data.closesAt), kind: 'offer', index, token: data.offer }, sooner);
};

export const bidReceived = (draft: Draft, index: number, data: Data<'chrysalis.workflow.bid.received.v1'>): void => {
  const task = get(draft.tasks, index);
  if (task.offer?.number !== data.offer) return;
  const { executor, cost, free, ready, at, rank } = data;
  const bids = [...task.offer.bids, { executor, cost, free, ready, at, rank }];
  draft.tasks = set(draft.tasks, index, { ...task, offer: { ...task.offer, bids } });
};

/** A bidder may be called `__proto__`. */
export const awardsOf = (awards: Readonly<Record<string, number>>, executor: string): number =>
  Object.hasOwn(awards, executor) ? awards[executor]! : 0;

/**
 * The winner, or `undefined` without a bid. First those that are ready, then those that have not lost rank, then by the rule; among equals
 * the cheaper, the freer, the first by name: the same bids have the same winner, in whatever order they came.
 */
export const award = (
  bids: readonly Bid[],
  rule: Extract<Route, { mode: 'bid' }>['award'],
  near: string | undefined,
  awards: Readonly<Record<string, number>>,
): Bid | undefined => {
  const wish = (bid: Bid): number => {
    if (rule === 'spread') return awardsOf(awards, bid.executor);
    return rule === 'affinity' && bid.executor !== near ? 1 : 0;
  };
  const order = (a: Bid, b: Bid): number =>
    Number(b.ready) - Number(a.ready) ||
    a.rank - b.rank ||
    wish(a) - wish(b) ||
    a.cost - b.cost ||
    b.free - a.free ||
    (a.executor < b.executor ? -1 : 1);
  return [...bids].sort(order)[0];
};
