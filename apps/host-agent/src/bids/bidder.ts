import type { TaskBid, TaskDispatch, TaskOffer } from '@chrysalis/contracts';

export type BidderDeps = {
  readonly hostId: string;
  readonly kinds: ReadonlySet<string>;
  /** Tasks at a time. */
  readonly capacity: number;
  /** Tasks under way. */
  readonly running: () => number;
  /** Of the whole machine: runnable processes per CPU. */
  readonly load: () => number;
  /** Median milliseconds of a kind, if it was measured here. */
  readonly usual: (kind: string) => number | undefined;
  /** The control plane's clock in milliseconds. */
  readonly now: () => number;
  readonly send: (bid: TaskBid) => void;
};

/** For a kind that never ran here: dearer than most, so that who knows what it does is preferred. */
const UNMEASURED_MS = 10_000;
/** A window is at most a minute; an award that was on its way is here by then. */
const LONGEST_MS = 62_000;
const AFTER_CLOSE_MS = 2_000;

const keyOf = (o: Pick<TaskOffer, 'workflowId' | 'task' | 'attempt'>): string => `${o.workflowId}/${o.task}/${o.attempt}`;

/**
 * Answers offers: with what the task would take here now, and whether there is room. A bid reserves room until its window is over, so
 * that a hundred offers at a time are not a hundred promises. With twice the room promised it says nothing: silence is no bid.
 */
export class Bidder {
  /** Bids whose award may come: until when, by the control plane's clock. */
  readonly #promised = new Map<string, number>();

  constructor(private readonly deps: BidderDeps) {}

  offered(offer: TaskOffer): void {
    const { hostId, kinds, capacity, now } = this.deps;
    const at = now();
    if (!kinds.has(offer.kind)) return;
    this.#forget(at);
    const taken = this.deps.running() + this.#promised.size;
    if (taken >= 2 * capacity) return;
    const free = Math.max(0, capacity - taken);
    const until = Math.min(Date.parse(offer.closesAt) + AFTER_CLOSE_MS, at + LONGEST_MS);
    this.#promised.set(keyOf(offer), Math.max(until, at + AFTER_CLOSE_MS));
    this.deps.send({
      workflowId: offer.workflowId,
      task: offer.task,
      offer: offer.offer,
      executor: `host:${hostId}`,
      cost: this.#cost(offer.kind, taken),
      free,
      ready: free > 0,
      at: new Date(at).toISOString(),
    });
  }

  /** What was promised is running now, and counted there. */
  given(dispatch: TaskDispatch): void {
    this.#promised.delete(keyOf(dispatch));
  }

  /** Milliseconds: the usual time, longer by what else goes on here. */
  #cost(kind: string, taken: number): number {
    const usual = this.deps.usual(kind) ?? UNMEASURED_MS;
    return Math.round(usual * (1 + taken / this.deps.capacity + Math.max(0, this.deps.load())));
  }

  #forget(at: number): void {
    for (const [key, until] of this.#promised) if (until <= at) this.#promised.delete(key);
  }
}
